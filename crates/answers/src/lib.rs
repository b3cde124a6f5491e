//! The analyst's questions: who, what was touched, was anything exposed; and replay, search, comparison, proof, export.
//!
//! Pure over the index and, for what is sealed, over payloads that the caller opens. Each line of an answer cites the
//! records that it rests on; each answer says what is known of the chain. Every answer serialises to one documented JSON
//! shape (docs/JSON.md) and renders as plain text in which nothing can move a cursor or reorder a line.
//!
//! **Watching is watched**: each question of a [`Desk`] writes its `watch` record first, and gives no answer without.
//!
//! **Invariant:** a claim of absence is made only if nothing prevents it; what this version cannot read prevents it.
//!
//! Reading order: `desk` (what an answer is made from), `line` (the parts they share), then one module per question.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod again;
mod auditor;
mod chain;
mod decided;
mod desk;
mod diff;
mod erasure;
mod export;
mod exposed;
mod find;
pub mod html;
pub mod limits;
mod line;
mod query;
mod reel;
mod replay;
mod runs;
mod shape;
mod style;
pub mod text;
mod touched;
mod value;
mod verify;
mod watch;

pub use again::{Answered, Exchange, Kept, Taped};
pub use auditor::AuditorProber;
pub use chain::{ActLine, ChainLine, ClaimLine};
pub use decided::{
    CauseLine, DecidedLine, DecisionLine, Moment, PlanLine, PlanStepLine, SpanLine, StepLine, decision_html,
    in_order, plan_html,
};
pub use desk::{Cannot, Chain, Desk, ProofLine, Verified};
pub use diff::{Diff, DiffStep};
pub use erasure::ErasureLine;
pub use export::{
    Exported, Report, action_html, export_bundle, exposed_html, prevents_html, sessions_html, shows_any,
    three_html,
};
pub use exposed::{Exposed, Prevent, PreventLine, Scope, ScopeLine};
pub use find::{Found, FoundRun};
pub use line::{
    ActionLine, ApprovalLine, AskLine, Cites, ColumnLine, ExposureLine, GovernedLine, ParamLine, RefusalLine,
    ResultLine, RunLine, ToldLine, TouchLine, TripwireLine, ending, time,
};
pub use query::{Key, Query, QueryError, Term, moment};
pub use reel::{BundleReels, Holder, StoreReels};
pub use replay::{
    Cast, CellLine, Edition, Event, NoReel, Player, Reels, Replay, ReplayStep, Sealed, Seen, What, asciicast,
};
pub use runs::{DeciderLine, NoteLine, Runs, SessionLine, Show, StartedLine, UnreadLine, Who};
pub use shape::{Answer, WrongShape, from_json, harmless, to_json};
pub use touched::{ClassLine, FunctionLine, OpaqueLine, Touched, TouchedLine};
pub use value::{MaybeLine, Prober, SeenLine, ValueAnswer, ValuePrevent};
pub use verify::{ProvedLine, RecordCount, VerifyAnswer, WrongLine, chain, verify};
pub use watch::{Look, NotWatched, Offline, Watch, Watched};
