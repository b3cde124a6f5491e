//! The style sheet of the pages: what they share with the report, and what a page has beside it.

use answers::html::STYLE;

pub(crate) fn sheet() -> String {
    format!("{STYLE}{PAGES}")
}

const PAGES: &str = "\
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --soft: #97a3ad; --line: #343c44; --paper: #15191d; --tint: #1e2429; --good: #7bc795; --bad: #f08a94; --open: #dfb15b; --act: #8bb8e8; } }
body { margin: 0; }
nav { display: flex; gap: 1.25rem; align-items: baseline; padding: .7rem 1.5rem; border-bottom: 1px solid var(--line); flex-wrap: wrap; }
nav a { color: var(--ink); text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav .brand { font-weight: 600; letter-spacing: .01em; }
nav .me { margin-left: auto; color: var(--soft); display: flex; gap: .75rem; align-items: baseline; }
main { max-width: 68rem; margin: 1.5rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
a { color: var(--act); }
.soft, .label { font-size: .9rem; }
.three { padding-left: 1.2rem; }
.n { text-align: right; }
td.when { white-space: nowrap; }
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
";
