//! What the report and the page of a run show alike: the three answers, what was exposed, and the sessions.

use std::collections::BTreeMap;

use crate::exposed::Exposed;
use crate::html::{Attr, Html};
use crate::line::{ExposureLine, ToldLine, TripwireLine};
use crate::runs::{SessionLine, StartedLine, Who};
use crate::touched::Touched;

/// The three questions, each with its answer in a sentence.
pub fn three_html(html: &mut Html, who: &Who, touched: &Touched, exposed: &Exposed) {
    let one = |html: &mut Html, class, question: &str, answer: &str| {
        html.tag("li", class, |html| {
            html.leaf("b", "", question);
            html.text(answer);
        });
    };
    html.tag("ol", "three", |html| {
        one(html, "", "Who initiated it? ", &who.sentence());
        one(html, "", "What was touched? ", &touched.sentence());
        one(html, exposed.mood(), "Was any sensitive data exposed? ", &exposed.sentence());
    });
}

/// What of each class came, what of it a model or service was told, and which tripwires were hit: a table each, where
/// there is anything.
pub fn exposed_html(html: &mut Html, exposed: &Exposed) {
    let row = |e: &ExposureLine| {
        vec![
            e.class.clone(),
            e.on.clone(),
            e.at.clone(),
            e.what.clone(),
            e.by.clone(),
            e.rows.to_string(),
            e.cells.to_string(),
            e.cites.text(),
        ]
    };
    let headers = ["Class", "Column", "Position", "What became of it", "By", "Rows", "Cells", "Records"];
    table(html, &headers, &[1], exposed.exposures.iter().map(row).collect());
    let row = |t: &ToldLine| {
        vec![t.class.clone(), t.whom(), t.channel.clone(), t.became().to_owned(), t.cites.text()]
    };
    let headers = ["Class", "Told to", "In", "What became of it", "Records"];
    table(html, &headers, &[1], exposed.told.iter().map(row).collect());
    let row = |t: &TripwireLine| {
        vec![t.detector.clone(), t.class.clone(), t.channel.clone(), t.act.clone(), t.cites.text()]
    };
    let headers = ["Tripwire", "Class", "Channel", "Act", "Records"];
    table(html, &headers, &[], exposed.tripwires.iter().map(row).collect());
}

/// The runs whose actions count with the run's own.
pub fn started_html(html: &mut Html, started: &[StartedLine]) {
    for line in started {
        html.leaf("p", "session", &format!("With run {}, which it started.", line.text()));
    }
}

/// The reasons for which "unmasked: 0" is not said.
pub fn prevents_html(html: &mut Html, exposed: &Exposed) {
    html.tag("ul", "", |html| {
        for p in &exposed.prevents {
            html.leaf("li", "", &format!("{}: {} (records {})", p.what, p.why, p.cites.text()));
        }
    });
}

/// How many connections there were to which resource; behind that, unfolded or not, each of them.
pub fn sessions_html(html: &mut Html, sessions: &[SessionLine], unfolded: bool) {
    let mut to: BTreeMap<&str, usize> = BTreeMap::new();
    for session in sessions {
        *to.entry(session.resource.as_deref().unwrap_or("unknown")).or_default() += 1;
    }
    let to: Vec<String> = to.iter().map(|(resource, count)| format!("{resource} ({count})")).collect();
    if to.is_empty() {
        return;
    }
    let attributes: &[_] = if unfolded { &[("open", Attr::new(""))] } else { &[] };
    html.tag_with("details", "session", attributes, |html| {
        html.leaf("summary", "", &format!("Sessions: {}", to.join(", ")));
        html.tag("ul", "", |html| sessions.iter().for_each(|session| html.leaf("li", "", &session.title())));
    });
}

/// Whether [`exposed_html`] has anything to show.
pub fn shows_any(exposed: &Exposed) -> bool {
    !(exposed.exposures.is_empty() && exposed.told.is_empty() && exposed.tripwires.is_empty())
}

fn table(html: &mut Html, headers: &[&'static str], code: &[usize], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        html.table(headers, code, &rows);
    }
}
