#!/usr/bin/env python3
"""A planner-executor agent, as any other: it asks a model for the next step, executes it, and shows the model
what came back. It knows a DATABASE_URL and nothing else.

The model is a script (a JSON file), so that the demo needs no network and says the same each time.
"""

import json
import os
import sys

import psycopg


class ScriptedModel:
    """Stands where a call to a language model would be: `step` gets what was observed and returns what to do."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            script = json.load(file)
        self.name = script["name"]
        self.turns = iter(script["turns"])
        self.answer = script["answer"]

    def step(self, observed):
        return next(self.turns, None)


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
    model = ScriptedModel(sys.argv[1])
    print(f"agent: model {model.name}, {len(os.environ)} variables in my environment")
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: print(f"   .. {notice.message_primary}", flush=True))
        observed = None
        while (turn := model.step(observed)) is not None:
            print(f"\nplan: {turn['plan']}")
            print(f"   -> {turn['sql']}", flush=True)
            observed = execute(connection, turn["sql"])
            show(observed)
            sys.stdout.flush()
    print(f"\nagent: {model.answer}")


if __name__ == "__main__":
    main()
