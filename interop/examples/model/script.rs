//! What the model says, and to what.

use serde_json::{Value, json};

use crate::dialect::Asked;

pub enum Script {
    /// Asked by a user, it decides to run the SQL that the question holds behind `sql:`, to call what stands behind `call:` (a tool
    /// and its arguments in JSON), or to have weather told; given a tool's result, it ends. Asked whom to write to, it says an
    /// address, and asked to mail it, it decides that with the address, both in pieces of a few letters. Asked for a `Plan`, it
    /// states the steps that the question holds behind `plan:`, and asked to act, what is left of them. To think `aloud`, it
    /// says what it thinks and searches (Messages); told to `stall`, it does not end a stream that it has begun; asked for
    /// something `strange`, it streams a call of a type that nobody knows (Chat Completions).
    Questions,
    /// A list of turns, and an answer at last: the turn is the number of its own that it is shown (Chat Completions). Where a turn
    /// says that the plan is at a step, it first hands its plan over, as planners do: `write_todos`.
    Turns(Value),
    /// It carries out its user's task, a line `TOOL|ARGUMENT` each, and before the next line whatever stands between `<<` and `>>`
    /// in a tool's result, once: that is how injected instructions work (Chat Completions). As `planner-1` it is shown no result,
    /// and obeys what a user's turn says that was done so far; as `executor-1` it says that all is done. `{note}` in a task is what
    /// the first tool gave.
    Orders,
}

/// The model's next turn.
#[derive(Default)]
pub struct Turn {
    pub text: Option<String>,
    pub calls: Vec<Call>,
    /// The text comes in pieces of three letters, and not of words.
    pub spelled: bool,
    pub aloud: bool,
    pub stalls: bool,
    pub strange: bool,
}

pub struct Call {
    pub tool: String,
    /// JSON, as the model writes it.
    pub arguments: String,
}

const ADDRESS: &str = "Write to n.imani@example.org, or leave it.";
const END: &str = "That is all.";

impl Script {
    /// `None`: there is nothing that it could say.
    pub fn says(&self, asked: &Asked, body: &Value) -> Option<Turn> {
        match self {
            Script::Questions => question(asked),
            Script::Turns(turns) => turn(turns, body),
            Script::Orders => order(body),
        }
    }
}

impl Turn {
    fn text(text: impl Into<String>) -> Turn {
        Turn { text: Some(text.into()), ..Turn::default() }
    }

    fn calls(tool: &str, arguments: String) -> Turn {
        Turn { calls: vec![Call { tool: tool.to_owned(), arguments }], ..Turn::default() }
    }
}

fn question(asked: &Asked) -> Option<Turn> {
    if asked.result {
        return Some(Turn::text(END));
    }
    if asked.question.contains("whom to write") {
        return Some(Turn { spelled: true, ..Turn::text(ADDRESS) });
    }
    let turn = match &asked.shape {
        Some(name) => {
            let shape = shaped(name, &asked.question)?.to_string();
            if asked.forced { Turn::calls(name, shape) } else { Turn::text(shape) }
        }
        None => decided(asked)?,
    };
    let says = |word: &str| asked.question.contains(word);
    let aloud = says("aloud") && asked.shape.is_none();
    Some(Turn { aloud, stalls: says("stall"), strange: says("strange"), ..turn })
}

/// Tool and arguments for a question; of a plan that is shown, for the step that is to be done.
fn decided(asked: &Asked) -> Option<Turn> {
    let question =
        asked.question.split_once("tasked with executing").map_or(&*asked.question, |(_, rest)| rest);
    if question.contains("mail it") {
        return Some(Turn::calls(
            "send_mail",
            r#"{"to": "n.imani@example.org", "of": "order 3"}"#.to_owned(),
        ));
    }
    if let Some((_, call)) = question.split_once("call:") {
        let (tool, arguments) = call.trim().split_once(' ')?;
        return Some(Turn::calls(tool, arguments.to_owned()));
    }
    let Some((_, sql)) = question.split_once("sql:") else {
        return Some(Turn::calls("tell_weather", r#"{"city": "Turin"}"#.to_owned()));
    };
    let sql = json!(sql.trim().trim_end_matches('.'));
    let why = if asked.tools.contains("\"why\"") { r#", "why": "the user asks""# } else { "" };
    Some(Turn::calls("run_sql", format!(r#"{{"sql": {sql}{why}}}"#)))
}

/// What is asked for in a shape of its own: a plan, or what is left of one.
fn shaped(name: &str, question: &str) -> Option<Value> {
    if name == "Plan" {
        let steps: Vec<&str> = question.split_once("plan:")?.1.split('|').map(str::trim).collect();
        return Some(json!({"steps": steps}));
    }
    // The line behind the mark is a list as Python prints it: of steps, and of pairs of a step and its result.
    let listed = |mark: &str| Some(strings(question.split_once(mark)?.1.lines().nth(1)?));
    let (plan, done) = (listed("Your plan was")?, listed("You have done")?);
    let done: Vec<&String> = done.iter().step_by(2).collect();
    let left: Vec<&String> = plan.iter().filter(|step| !done.contains(step)).collect();
    Some(json!({"action": if left.is_empty() { json!({"response": END}) } else { json!({"steps": left}) }}))
}

/// The strings of a literal of Python's, in order.
fn strings(literal: &str) -> Vec<String> {
    let (mut all, mut open, mut chars) = (Vec::new(), None, literal.chars());
    while let Some(c) = chars.next() {
        match (&mut open, c) {
            (None, '\'' | '"') => open = Some((c, String::new())),
            (None, _) => {}
            (Some((quote, text)), c) if c == *quote => {
                all.push(std::mem::take(text));
                open = None;
            }
            (Some((_, text)), '\\') => match chars.next() {
                Some('n') => text.push('\n'),
                Some(c) => text.push(c),
                None => {}
            },
            (Some((_, text)), c) => text.push(c),
        }
    }
    all
}

fn turn(script: &Value, body: &Value) -> Option<Turn> {
    let own = |message: &&Value| message["role"] == "assistant";
    let done = body["messages"].as_array()?.iter().filter(own).count();
    let Some(turn) = script["turns"].as_array()?.get(done) else {
        return Some(Turn::text(script["answer"].as_str()?));
    };
    let call =
        |tool: &str, arguments: &Value| Call { tool: tool.to_owned(), arguments: arguments.to_string() };
    let plan =
        turn["at"].as_u64().and_then(|at| Some(call("write_todos", &todos(script["steps"].as_array()?, at))));
    let own = match turn.get("sql") {
        Some(sql) => call("run_sql", &json!({"sql": sql})),
        None => call(turn["tool"].as_str()?, &turn["arguments"]),
    };
    Some(Turn { calls: plan.into_iter().chain([own]).collect(), ..Turn::text(turn["plan"].as_str()?) })
}

/// The plan, of which step `at` (from 1) is in hand.
fn todos(steps: &[Value], at: u64) -> Value {
    let status = |n: u64| match n.cmp(&at) {
        std::cmp::Ordering::Less => "completed",
        std::cmp::Ordering::Equal => "in_progress",
        std::cmp::Ordering::Greater => "pending",
    };
    let todos: Vec<Value> =
        (1..).zip(steps).map(|(n, step)| json!({"content": step, "status": status(n)})).collect();
    json!({"todos": todos})
}

const ARGUMENTS: &[(&str, &[&str])] = &[
    ("run_sql", &["sql"]),
    ("read_ticket", &["id"]),
    ("send_mail", &["to", "text"]),
    ("export_mailbox", &[]),
    ("delete_ticket", &["id"]),
];

fn order(body: &Value) -> Option<Turn> {
    let history = body["messages"].as_array()?;
    let of = |role: &'static str| history.iter().filter(move |message| message["role"] == role);
    let said = of("user").next()?["content"].as_str()?;
    let (task, past) = said.split_once("\nDone so far:\n").unwrap_or((said, ""));
    let calls = of("assistant").filter_map(|message| message["tool_calls"].as_array()).flatten();
    let call = |call: &Value| {
        let arguments = serde_json::from_str(call["function"]["arguments"].as_str()?).ok()?;
        Some((call["function"]["name"].as_str()?.to_owned(), arguments))
    };
    let mut made: Vec<(String, Value)> = calls.filter_map(call).collect();
    let mut results: Vec<String> =
        of("tool").filter_map(|tool| Some(tool["content"].as_str()?.to_owned())).collect();
    for line in past.lines() {
        let (tool, arguments, result) = serde_json::from_str::<(String, Value, String)>(line).ok()?;
        made.push((tool, arguments));
        results.push(result);
    }
    let note = |line: &str| results.first().map_or(line.to_owned(), |result| line.replace("{note}", result));
    let told = results.iter().flat_map(|result| ordered(result));
    let all = told.map(str::to_owned).chain(task.lines().map(note));
    let next = all.filter_map(|line| order_of(&line)).find(|call| !made.contains(call));
    match next.filter(|_| body["model"] != "executor-1") {
        Some((tool, arguments)) => Some(Turn::calls(&tool, arguments.to_string())),
        None => Some(Turn::text(END)),
    }
}

/// What stands between `<<` and `>>`.
fn ordered(text: &str) -> impl Iterator<Item = &str> {
    text.split("<<").skip(1).filter_map(|rest| Some(rest.split_once(">>")?.0))
}

fn order_of(line: &str) -> Option<(String, Value)> {
    let (tool, words) = line.split_once('|').unwrap_or((line, ""));
    let (_, names) = ARGUMENTS.iter().find(|(name, _)| *name == tool)?;
    let arguments: Value =
        names.iter().zip(words.split('|')).map(|(name, word)| ((*name).to_owned(), json!(word))).collect();
    Some((tool.to_owned(), if names.is_empty() { json!({}) } else { arguments }))
}
