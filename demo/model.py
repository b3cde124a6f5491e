#!/usr/bin/env python3
"""A language model as far as its clients can tell: OpenAI's Chat Completions over HTTP. What it says stands in a script,
so that the demo needs no network and says the same each time.

Usage: model.py PORT SCRIPT. The turn that it answers with is the number of turns that it is shown of its own. Where a turn says
that the plan is at a step, the model first hands its plan over, as planners do: `write_todos`, with what is done and what is not.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(sys.argv[1])
with open(sys.argv[2], encoding="utf-8") as file:
    SCRIPT = json.load(file)


def todos(at):
    """The plan, of which step `at` (from 1) is in hand."""
    status = lambda n: "completed" if n < at else "in_progress" if n == at else "pending"
    return {"todos": [{"content": step, "status": status(n)} for n, step in enumerate(SCRIPT["steps"], 1)]}


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        done = sum(message["role"] == "assistant" for message in asked["messages"])
        message, finish = {"role": "assistant", "content": SCRIPT["answer"]}, "stop"
        if done < len(SCRIPT["turns"]):
            turn = SCRIPT["turns"][done]
            arguments = turn.get("arguments") or {"sql": turn["sql"]}
            made = [("write_todos", todos(turn["at"]))] if "at" in turn else []
            made.append((turn.get("tool", "run_sql"), arguments))
            function = lambda name, arguments: {"name": name, "arguments": json.dumps(arguments)}
            calls = [
                {"id": f"call_{done + 1}_{n}", "type": "function", "function": function(*call)} for n, call in enumerate(made)
            ]
            message, finish = {"role": "assistant", "content": turn["plan"], "tool_calls": calls}, "tool_calls"
        answer = {
            "id": f"chatcmpl-{done + 1}",
            "object": "chat.completion",
            "created": 1,
            "model": SCRIPT["name"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 40 * (done + 1), "completion_tokens": 20, "total_tokens": 40 * done + 60},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Model).serve_forever()
