//! The one style sheet of the pages.

pub(crate) const STYLE: &str = "\
:root { --ink: #1c2126; --soft: #5b6670; --line: #d9dee3; --paper: #fff; --tint: #f5f7f8; --good: #1d6b3a; --bad: #a11d2b; --open: #8a5a00; --act: #1f4f82; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --soft: #97a3ad; --line: #343c44; --paper: #15191d; --tint: #1e2429; --good: #7bc795; --bad: #f08a94; --open: #dfb15b; --act: #8bb8e8; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }
nav { display: flex; gap: 1.25rem; align-items: baseline; padding: .7rem 1.5rem; border-bottom: 1px solid var(--line); flex-wrap: wrap; }
nav a { color: var(--ink); text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav .brand { font-weight: 600; letter-spacing: .01em; }
nav .me { margin-left: auto; color: var(--soft); display: flex; gap: .75rem; align-items: baseline; }
main { max-width: 68rem; margin: 1.5rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
a { color: var(--act); }
.soft, .label, .at { color: var(--soft); }
.soft, .label { font-size: .9rem; }
.good { color: var(--good); font-weight: 600; }
.bad, .refusal { color: var(--bad); }
.open, .limit, .effect { color: var(--open); }
.three { padding-left: 1.2rem; }
.three li { margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.n { text-align: right; }
td.when { white-space: nowrap; }
.code, pre { font: .85rem/1.5 ui-monospace, monospace; }
pre { background: var(--tint); padding: .6rem .8rem; margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
article { border-left: 3px solid var(--line); padding: .1rem 0 .1rem 1rem; margin: 1.2rem 0; }
article.ask { border-color: var(--open); }
article.refuse { border-color: var(--bad); }
article p { margin: .2rem 0; }
.line span { margin-right: .8rem; font-size: .92rem; }
.record { font-weight: 600; }
.verdict { text-transform: uppercase; font-size: .78rem !important; letter-spacing: .05em; }
.touches { margin: .2rem 0; padding-left: 1.1rem; font-weight: 600; }
.decide { display: flex; gap: 1.5rem; margin-top: .8rem; flex-wrap: wrap; align-items: baseline; }
form { margin: 0; }
input { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 4px; padding: .35rem .55rem; }
button { font: inherit; border: 1px solid var(--act); background: var(--act); color: var(--paper); border-radius: 4px; padding: .35rem .8rem; cursor: pointer; }
button.deny { background: none; color: var(--bad); border-color: var(--bad); }
button.quiet { background: none; border: 0; color: var(--soft); padding: 0; text-decoration: underline; }
.login label { display: block; margin-bottom: .8rem; }
.login input { display: block; width: 100%; max-width: 28rem; margin-top: .3rem; }
.find { display: flex; gap: .6rem; }
.find input { flex: 1; }
details { margin: .6rem 0; }
";
