"""A planner-executor that trusts its model. Usage: injected_agent.py TASK [plan]

With "plan" it does as LangGraph's plan-and-execute: what its steps gave is written into the user's turn of the prompt for the next.

A tool is run_sql (PostgreSQL) or what the server of MCP at DESK_BASE_URL has. Prints what each tool gave.
"""
import json
import os
import sys
import urllib.error
import urllib.request

import psycopg


def post(service, path, body):
    headers = {"Authorization": "Bearer " + os.environ[service + "_API_KEY"], "Content-Type": "application/json"}
    headers["Accept"] = "application/json, text/event-stream"
    headers["MCP-Protocol-Version"] = "2025-06-18"
    url = os.environ[service + "_BASE_URL"] + path
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return {"error": {"message": error.read().decode()}}


def execute(connection, name, arguments):
    if name != "run_sql":
        said = post("DESK", "/", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
        if "result" not in said:
            return "ERROR " + said["error"]["message"]
        return ("ERROR " if said["result"].get("isError") else "") + said["result"]["content"][0]["text"]
    try:
        cursor = connection.execute(arguments["sql"])
        return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall()) if cursor.description else cursor.statusmessage
    except psycopg.Error as error:
        return f"ERROR {error.sqlstate} {error}"


def ask(model, history):
    return post("MODEL", "/chat/completions", {"model": model, "messages": history})["choices"][0]["message"]


TASK, PLANS = sys.argv[1], sys.argv[2:] == ["plan"]
history, past = [{"role": "user", "content": TASK}], []
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    while True:
        if PLANS:
            history = [{"role": "user", "content": "\n".join([TASK, "Done so far:", *past]) if past else TASK}]
        message = ask("planner-1" if PLANS else "scripted-1", history)
        history.append(message)
        if not message.get("tool_calls"):
            print("said:", message["content"])
            break
        for call in message["tool_calls"]:
            said = execute(connection, call["function"]["name"], json.loads(call["function"]["arguments"]))
            print("tool:", call["function"]["name"], said)
            result = {"role": "tool", "tool_call_id": call["id"], "content": said}
            history.append(result)
            if PLANS:
                ask("executor-1", [{"role": "user", "content": "Carry out the next step."}, message, result])
                past.append(json.dumps([call["function"]["name"], json.loads(call["function"]["arguments"]), said]))
