//! Evidence to hand over: a bundle that verifies by itself, and one page that a lawyer can read.

mod bundle;
mod report;

pub use bundle::{Exported, export_bundle};
pub use report::{Report, action_html};
