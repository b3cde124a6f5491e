"""The server of MCP that a model uses which obeys whoever speaks last (`model orders`). Usage: injected_service.py PORT SENT

It has tickets and mail; what it is told to send or delete is a line in SENT.
"""
import json
import sys

from aiohttp import web

PORT, SENT = int(sys.argv[1]), sys.argv[2]
NAMES = {"run_sql": ["sql"], "read_ticket": ["id"], "send_mail": ["to", "text"], "export_mailbox": [], "delete_ticket": ["id"]}
TICKETS = {}


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


app = web.Application()
app.router.add_post("/mcp", mcp)
app.router.add_post("/tickets", tickets)
web.run_app(app, host="127.0.0.1", port=PORT, print=None)
