//! Evidence to hand over: a bundle that verifies by itself, and one page that a lawyer can read.

mod bundle;
mod parts;
mod report;

pub use bundle::{Exported, export_bundle};
pub use parts::{exposed_html, prevents_html, sessions_html, shows_any, three_html};
pub use report::{Report, action_html};
