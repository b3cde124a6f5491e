//! What a person sees of what a program writes: a terminal's screen, as text and as lines that are safe to show.
//!
//! The model is asciinema's (crate `avt`), and `screen` alone knows it. Sans-IO: bytes in, a screen out; no clock.
//! It has no scrollback: what left the screen is in the record's bytes and not here.
//!
//! **Deliberately absent**: whatever a terminal does besides showing text. Titles, the clipboard (OSC 52), reports of the
//! device, other fonts and sizes, sounds: the model does none of them, and [`Screen::painted`] writes nothing but text and its
//! colours.
//!
//! Reading order: [`Size`], [`Utf8`] (bytes to text, wherever they were cut), [`Screen`], [`limits`].

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;
mod screen;
mod size;
mod utf8;

pub use screen::Screen;
pub use size::Size;
pub use utf8::Utf8;
