//! What a line is read as: by tables, against the shells themselves, and under hostile input.

#![allow(clippy::unwrap_used)]

mod argv;
mod attacks;
mod hostile;
mod literals;
mod reach;
mod seed;
mod shells;
mod support;
mod table;
