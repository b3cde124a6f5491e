#!/usr/bin/env python3
"""A planner-executor agent, as any other: it asks a model for the next step, executes it, and shows the model
what came back. It knows a DATABASE_URL, an OPENAI_BASE_URL with its key, and nothing else.
"""

import json
import os
import sys
import urllib.request

import psycopg

TASK = "Refund order 3 and write to its customer."
TOOL = {"name": "run_sql", "parameters": {"type": "object", "properties": {"sql": {"type": "string"}}}}


def ask_model(history):
    """One turn: the whole conversation goes to the model, its next message comes back."""
    asked = {"model": "scripted-planner-1", "messages": history, "tools": [{"type": "function", "function": TOOL}]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps(asked).encode(),
        headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["choices"][0]["message"]


def execute(connection, sql):
    """The one tool of this agent. An error is an observation like any other."""
    try:
        cursor = connection.execute(sql)
        if cursor.description is None:
            return cursor.statusmessage
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]
    except psycopg.Error as error:
        diag = error.diag
        parts = [diag.sqlstate or "", diag.message_primary or str(error).strip()]
        parts += [text for text in (diag.message_detail, diag.message_hint) if text]
        return "ERROR " + " | ".join(part for part in parts if part)


def show(observed):
    if isinstance(observed, str):
        print(f"   <- {observed}")
        return
    for row in observed:
        print("   <- " + ", ".join(f"{name}={value}" for name, value in row.items()))


def main():
    print(f"agent: {len(os.environ)} variables in my environment")
    history = [{"role": "system", "content": "You are a support clerk."}, {"role": "user", "content": TASK}]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: print(f"   .. {notice.message_primary}", flush=True))
        while True:
            message = ask_model(history)
            history.append(message)
            calls = message.get("tool_calls", [])
            if not calls:
                print(f"\nagent: {message['content']}")
                break
            print(f"\nplan: {message['content']}")
            for call in calls:
                sql = json.loads(call["function"]["arguments"])["sql"]
                print(f"   -> {sql}", flush=True)
                observed = execute(connection, sql)
                show(observed)
                sys.stdout.flush()
                history.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(observed, default=str)})
        # No model decided this: it is what a library in an agent may do on its own.
        connection.execute("SELECT count(*) FROM customers")


if __name__ == "__main__":
    main()
