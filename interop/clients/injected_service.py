"""A model that obeys whoever speaks last, and the server of MCP that it uses. Usage: injected_service.py MODEL_PORT MCP_PORT SENT

The model (Chat Completions) carries out its user's task, a line "TOOL|ARGUMENT" each, and before the next line whatever stands
between << and >> in a tool's result, once: that is how injected instructions work. As "planner-1" it is shown no result, and obeys what
a user's turn says that was done so far; as "executor-1" it says that all is done. {note} in a task is what the first tool gave. The server of MCP has tickets and mail; what it
is told to send or delete is a line in SENT.
"""
import itertools
import json
import re
import sys

from aiohttp import web

MODEL, MCP, SENT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
NUMBERS = itertools.count(1)
NAMES = {"run_sql": ["sql"], "read_ticket": ["id"], "send_mail": ["to", "text"], "export_mailbox": [], "delete_ticket": ["id"]}
TICKETS = {}


def call(line):
    tool, *words = line.split("|")
    return tool, dict(zip(NAMES[tool], words))


async def chat(request):
    body, n = await request.json(), next(NUMBERS)
    history = body["messages"]
    task, _, past = next(m["content"] for m in history if m["role"] == "user").partition("\nDone so far:\n")
    made = [c["function"] for m in history if m["role"] == "assistant" for c in m.get("tool_calls") or []]
    made = [(f["name"], json.loads(f["arguments"])) for f in made]
    results = [m["content"] for m in history if m["role"] == "tool"]
    for name, arguments, result in map(json.loads, past.splitlines()):
        made.append((name, arguments))
        results.append(result)
    told = [call(line) for result in results for line in re.findall("<<(.*?)>>", result, re.S)]
    lines = [line.replace("{note}", results[0]) if results else line for line in task.splitlines()]
    todo = [] if body["model"] == "executor-1" else [c for c in told + [call(line) for line in lines] if c not in made]
    message, finish = {"role": "assistant", "content": "That is all."}, "stop"
    if todo:
        name, arguments = todo[0]
        function = {"name": name, "arguments": json.dumps(arguments)}
        message, finish = {"role": "assistant", "content": None, "tool_calls": [{"id": f"call_{n}", "type": "function", "function": function}]}, "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return web.json_response({"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage})


def answer(method, params):
    if method == "tools/list":
        schema = lambda names: {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return {"tools": [{"name": n, "description": n, "inputSchema": schema(p)} for n, p in NAMES.items() if n != "run_sql"]}
    name, arguments = params["name"], params.get("arguments", {})
    if name == "read_ticket":
        text = TICKETS.get(arguments["id"], "no such ticket")
    else:
        text = "done"
        with open(SENT, "a") as file:
            file.write(json.dumps([name, arguments]) + "\n")
    return {"content": [{"type": "text", "text": text}]}


async def mcp(request):
    asked = await request.json()
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": answer(asked["method"], asked.get("params", {}))})


async def tickets(request):
    TICKETS.update(await request.json())
    return web.json_response({})


async def main():
    model, tools = web.Application(), web.Application()
    model.router.add_post("/v1/chat/completions", chat)
    tools.router.add_post("/mcp", mcp)
    tools.router.add_post("/tickets", tickets)
    for app, port in ((model, MODEL), (tools, MCP)):
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    return model


if __name__ == "__main__":
    import asyncio

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.run_forever()
