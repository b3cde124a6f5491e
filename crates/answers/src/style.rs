//! What the report and the console's pages look like, where they look alike: the words of an action, in one style.

/// The shared part of both style sheets.
pub const STYLE: &str = "\
:root { --ink: #1c2126; --soft: #5b6670; --line: #d9dee3; --paper: #fff; --tint: #f5f7f8; --good: #1d6b3a; --bad: #a11d2b; --open: #8a5a00; --act: #1f4f82; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
.soft, .label, .kind, .session, .at { color: var(--soft); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.open { color: var(--open); font-weight: 600; }
.refusal { color: var(--bad); }
.limit, .effect { color: var(--open); }
.three li { margin: .35rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { color: var(--soft); font-weight: 500; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
td.code { overflow-wrap: anywhere; min-width: 8.5rem; }
.code, pre, code { font: .85rem/1.5 ui-monospace, monospace; }
pre { background: var(--tint); padding: .6rem .8rem; margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
.null { color: var(--soft); font-style: italic; }
article { border-left: 3px solid var(--line); padding: .1rem 0 .1rem 1rem; margin: 1.2rem 0; break-inside: avoid; }
article.ask { border-color: var(--open); }
article.refuse { border-color: var(--bad); }
article p { margin: .2rem 0; }
.line span { margin-right: .8rem; font-size: .92rem; }
.record, .on { font-weight: 600; }
details { margin: .6rem 0; }
.verdict { text-transform: uppercase; font-size: .78rem !important; letter-spacing: .05em; }
";
