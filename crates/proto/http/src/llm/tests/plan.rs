//! Plans in the forms that frameworks write, and what only looks like one.

use super::*;
use crate::limits::{PLAN_STEP_BYTES_MAX, PLAN_STEPS_MAX};

/// `form: text [status] -> tool(arguments); ...`
fn shown(plan: Option<Plan>) -> String {
    let Some(plan) = plan else { return "none".to_owned() };
    let step = |step: &Step| {
        let status = step.status.map(|status| format!(" [{}]", status.as_str())).unwrap_or_default();
        let call = step.call.as_ref().map(|c| format!(" -> {}({})", c.name, c.arguments)).unwrap_or_default();
        format!("{}{status}{call}", step.text)
    };
    format!("{}: {}", plan.form.as_str(), plan.steps.iter().map(step).collect::<Vec<_>>().join("; "))
}

#[track_caller]
fn of_call(name: &str, arguments: &str, expected: &str) {
    assert_eq!(shown(Plan::of_call(&call("c1", name, arguments))), expected, "{name} {arguments}");
}

#[track_caller]
fn of_text(text: &str, expected: &str) {
    assert_eq!(shown(Plan::of_text(text)), expected, "{text}");
}

#[test]
fn a_tool_call_that_hands_over_a_plan() {
    of_call("Plan", r#"{"steps":["find order 3","refund it "]}"#, "steps: find order 3; refund it");
    of_call("Act", r#"{"action":{"steps":["refund it"]}}"#, "steps: refund it");
    of_call(
        "create_plan",
        r#"{"goal":"g","steps":[{"title":"a"},{"task":"b","status":"done"}]}"#,
        "steps: a; b [done]",
    );
    of_call(
        "write_todos",
        r#"{"todos":[{"content":"a","status":"completed"},{"content":"b","status":"in_progress"}]}"#,
        "todos: a [done]; b [in-progress]",
    );
    of_call(
        "TodoWrite",
        r#"{"todos":[{"content":"a","activeForm":"Doing a","status":"pending"}]}"#,
        "todos: a [pending]",
    );
    of_call(
        "update_plan",
        r#"{"explanation":"x","plan":[{"step":"a","status":"in_progress"},{"step":"b","status":"pending"}]}"#,
        "update-plan: a [in-progress]; b [pending]",
    );
}

#[test]
fn a_tool_call_that_only_looks_like_it() {
    of_call("cook", r#"{"steps":["chop","fry"]}"#, "none");
    of_call("Act", r#"{"action":{"response":"done"}}"#, "none");
    of_call("write_todos", r#"{"todos":[{"content":"a"}]}"#, "none");
    of_call("write_todos", r#"{"todos":[]}"#, "none");
    of_call("Plan", r#"{"steps":[1,2]}"#, "none");
    of_call("Plan", r#"{"steps":["", " "]}"#, "none");
    of_call("Plan", "find order 3", "none");
}

#[test]
fn an_answer_that_states_a_plan() {
    of_text(r#"{"steps":["a","b"]}"#, "steps: a; b");
    of_text("```json\n{\"plan\": {\"steps\": [\"a\"]}}\n```", "steps: a");
    of_text(
        r#"{"is_request_satisfied":{"reason":"r","answer":false},"is_in_loop":{"reason":"r","answer":false},
            "is_progress_being_made":{"reason":"r","answer":true},"next_speaker":{"reason":"r","answer":"Sql"},
            "instruction_or_question":{"reason":"r","answer":"count the orders"}}"#,
        "ledger: Sql: count the orders [in-progress]",
    );
    of_text(
        "/*PLANNING*/\n1. find it\n2. fix it\n/*ACTION*/ now\n/*FINAL_ANSWER*/ x",
        "tags: find it; fix it",
    );
    of_text("/*PLANNING*/ old\n/*REPLANNING*/\nonly this\n/*ACTION*/", "tags: only this");
    of_text(
        "Plan: Find the order.\n#E1 = Sql[SELECT * FROM orders WHERE id = 3]\nPlan: Tell.\n#E2 = Mail[\"#E1\"]",
        "evidence: Find the order. -> Sql(SELECT * FROM orders WHERE id = 3); Tell. -> Mail(#E1)",
    );
    of_text("Plan: Look. #E1 = Sql[SELECT 1]", "evidence: Look. -> Sql(SELECT 1)");
    of_text(
        "1. run_sql(\"SELECT 1\")\n2. mail($1, \"x\")\n3. join()<END_OF_PLAN>",
        "graph: run_sql(\"SELECT 1\") -> run_sql(SELECT 1); mail($1, \"x\") -> mail($1, \"x\")",
    );
}

#[test]
fn an_answer_that_only_looks_like_it() {
    for prose in [
        "",
        "I will find the order. 1. run_sql(x)",
        "1. run_sql(\"SELECT 1\")\n2. mail(x)",
        "{\"answer\": 42}",
        "{not json",
        "#E1 = nothing",
        "Plan: to be nice",
        "/*ACTION*/ x",
        "/*PLANNING*/",
    ] {
        of_text(prose, "none");
    }
}

#[test]
fn a_plan_is_bounded_and_says_what_it_left_out() {
    let step = "ä".repeat(PLAN_STEP_BYTES_MAX);
    let steps = vec![format!("\"{step}\""); PLAN_STEPS_MAX + 2].join(",");
    let plan = Plan::of_call(&call("c", "Plan", &format!("{{\"steps\":[{steps}]}}"))).unwrap();
    assert_eq!((plan.steps.len(), plan.more), (PLAN_STEPS_MAX, 2));
    assert!(plan.steps.iter().all(|step| step.text.len() == PLAN_STEP_BYTES_MAX));
}
