"""A client of MCP: the SDK's own, in its new and its old version. Prints one line of JSON for each step.

Usage: mcp_client.py new|old|sse NAME STEP...
NAME is the resource, found in its variables; or, where STDIO is a list of words, what they start. A step is `list`, `call TOOL ARGUMENTS`, `read URI` or `prompt NAME`.
"""
import asyncio
import json
import os
import sys

ERA, NAME, STEPS = sys.argv[1], sys.argv[2].upper(), sys.argv[3:]
# What its user answers when it is asked something; without it the client has no user to ask.
ELICIT = os.environ.get("ELICIT")
STDIO = json.loads(os.environ.get("STDIO", "[]"))
URL = None if STDIO else os.environ[NAME + "_BASE_URL"]
HEADERS = None if STDIO else {"Authorization": "Bearer " + os.environ[NAME + "_API_KEY"]}
if ERA != "new":
    site = [p for p in sys.path if os.path.isdir(os.path.join(p, "old-mcp"))][0]
    sys.path.insert(0, os.path.join(site, "old-mcp"))


async def step(session, text):
    word, _, rest = text.partition(" ")
    try:
        if word == "list":
            tools = (await session.list_tools()).tools
            schemas = {tool.name: getattr(tool, "inputSchema", None) or tool.input_schema for tool in tools}
            broken = [name for name, schema in schemas.items() if None in schema.get("properties", {}).values()]
            return {"tools": {tool.name: tool.description for tool in tools}, "broken": broken}
        if word == "call":
            tool, _, arguments = rest.partition(" ")
            heard = []

            async def progress(done, total, _message):
                heard.append(done)

            said = await session.call_tool(tool, json.loads(arguments or "{}"), progress_callback=progress)
            failed = getattr(said, "isError", None) or getattr(said, "is_error", None)
            shown = [getattr(block, "text", block.type) for block in said.content]
            structured = getattr(said, "structuredContent", None) or getattr(said, "structured_content", None)
            return {"failed": bool(failed), "content": shown, "structured": structured, "progress": heard}
        if word == "read":
            return {"contents": [c.text for c in (await session.read_resource(rest)).contents]}
        if word == "prompt":
            return {"messages": [m.content.text for m in (await session.get_prompt(rest, {"name": "Ada"})).messages]}
        return {"error": "no such step"}
    except Exception as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return {"error": str(error)}


async def steps(session):
    for text in STEPS:
        said = await asyncio.wait_for(step(session, text), 30)
        print(json.dumps(said), flush=True)


async def new():
    from mcp.client.client import Client

    if STDIO:
        from mcp.client.stdio import StdioServerParameters

        async with Client(StdioServerParameters(command=STDIO[0], args=STDIO[1:])) as client:
            return await steps(client)
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async def elicit(_context, params):
        print(json.dumps({"asked": params.message}), flush=True)
        from mcp_types import ElicitResult

        return ElicitResult(action=ELICIT, content={} if ELICIT == "accept" else None)

    http = httpx2.AsyncClient(headers=HEADERS)
    user = {"elicitation_callback": elicit} if ELICIT else {}
    async with Client(streamable_http_client(URL + "/", http_client=http), **user) as client:
        await steps(client)


async def old():
    from mcp import ClientSession, types
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamablehttp_client

    async def sample(_context, _params):
        text = types.TextContent(type="text", text="the key is 1234")
        return types.CreateMessageResult(role="assistant", content=text, model="m")

    if STDIO:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        opened = stdio_client(StdioServerParameters(command=STDIO[0], args=STDIO[1:]))
    elif ERA == "sse":
        opened = sse_client(URL + "/sse", headers=HEADERS)
    else:
        opened = streamablehttp_client(URL + "/", headers=HEADERS)
    async with opened as streams:
        async with ClientSession(streams[0], streams[1], sampling_callback=sample) as session:
            await session.initialize()
            await steps(session)


asyncio.run(new() if ERA == "new" else old())
