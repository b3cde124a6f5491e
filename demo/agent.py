#!/usr/bin/env python3
"""A planner-executor agent, as any other: it asks a model for the next step, executes it, and shows the model
what came back. Its tools are a database and what a server of MCP has. It knows a DATABASE_URL, an OPENAI_BASE_URL and a
MAIL_BASE_URL with their keys, and nothing else.
"""

import json
import os
import sys
import urllib.request

import psycopg

TASK = sys.argv[1] if len(sys.argv) > 1 else "Refund order 3 and write to its customer."
TODOS = {"name": "write_todos", "parameters": {"type": "object", "properties": {"todos": {"type": "array"}}}}
SQL = {"name": "run_sql", "parameters": {"type": "object", "properties": {"sql": {"type": "string"}}}}


def post(service, path, body):
    """JSON to a service that is found in the environment, and what it answers."""
    headers = {"Authorization": "Bearer " + os.environ[service + "_API_KEY"], "Content-Type": "application/json"}
    headers["Accept"] = "application/json, text/event-stream"
    url = os.environ[service + "_BASE_URL"] + path
    with urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)) as answer:
        return json.loads(answer.read() or b"null")


def ask_mail(method, **params):
    """One request to the server of MCP."""
    said = post("MAIL", "/", {"jsonrpc": "2.0", "id": method, "method": method, "params": params})
    return said.get("result") or {"content": [{"text": said["error"]["message"]}]}


def ask_model(history, tools):
    """One turn: the whole conversation goes to the model, its next message comes back."""
    tools = [{"type": "function", "function": tool} for tool in tools]
    asked = {"model": "scripted-planner-1", "messages": history, "tools": tools}
    return post("OPENAI", "/chat/completions", asked)["choices"][0]["message"]


def execute(connection, name, arguments):
    """A tool. An error is an observation like any other."""
    if name == "write_todos":
        return "noted"
    if name != "run_sql":
        said = ask_mail("tools/call", name=name, arguments=arguments)
        return ("ERROR " if said.get("isError") else "") + said["content"][0]["text"]
    sql = arguments["sql"]
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
    info = {"name": "support", "version": "1"}
    ask_mail("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
    tools = [TODOS, SQL] + [{"name": t["name"], "parameters": t["inputSchema"]} for t in ask_mail("tools/list")["tools"]]
    print("agent: my tools are " + ", ".join(tool["name"] for tool in tools))
    history = [{"role": "system", "content": "You are a support clerk."}, {"role": "user", "content": TASK}]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: print(f"   .. {notice.message_primary}", flush=True))
        while True:
            message = ask_model(history, tools)
            history.append(message)
            calls = message.get("tool_calls", [])
            if not calls:
                print(f"\nagent: {message['content']}")
                break
            print(f"\nmodel: {message['content']}")
            for call in calls:
                name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
                if name == "write_todos":
                    marks = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}
                    print("   plan  " + "  ".join(f"{marks[todo['status']]} {todo['content']}" for todo in arguments["todos"]))
                else:
                    print(f"   -> {arguments.get('sql') or name + ' ' + json.dumps(arguments)}", flush=True)
                observed = execute(connection, name, arguments)
                if name != "write_todos":
                    show(observed)
                sys.stdout.flush()
                history.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(observed, default=str)})
        # No model decided this: it is what a library in an agent may do on its own.
        connection.execute("SELECT count(*) FROM customers")


if __name__ == "__main__":
    main()
