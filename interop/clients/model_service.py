"""A model to stand behind a gateway: it answers in three dialects, streamed or not, and its script is this file.

Usage: model_service.py PORT LOG [CERT KEY]
Asked by a user, it decides to run the SQL that the question holds behind "sql:", to call what stands behind "call:" (a tool and
its arguments in JSON), or to have weather told; given a tool's result, it ends. Asked whom to write to, it says an address, and asked
to mail it, it decides that with the address, both in pieces of a few letters. Asked for a Plan, it states the steps that the question holds behind "plan:", and asked to Act what is left of
them. Each request that arrives is a line of JSON in LOG.
"""
import ast
import asyncio
import itertools
import json
import ssl
import sys

from aiohttp import web

PORT, LOG = int(sys.argv[1]), sys.argv[2]
NUMBERS = itertools.count(1)
SAYS = "Write to n.imani@example.org, or leave it."


def text_of(content):
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or [])


def decide(body, question):
    """Tool and arguments for a user's question; of a plan that is shown, for the step that is to be done."""
    question = question.split("tasked with executing", 1)[-1]
    if "mail it" in question:
        return "send_mail", {"to": "n.imani@example.org", "of": "order 3"}
    if "call:" in question:
        name, arguments = question.split("call:", 1)[1].strip().split(" ", 1)
        return name, json.loads(arguments)
    if "sql:" not in question:
        return "tell_weather", {"city": "Turin"}
    arguments = {"sql": question.split("sql:", 1)[1].strip().rstrip(".")}
    return "run_sql", {**arguments, "why": "the user asks"} if '"why"' in json.dumps(body.get("tools")) else arguments


def pieces(text):
    return [text[at:at + 3] for at in range(0, len(text), 3)] if text == SAYS else [word + " " for word in text.split(" ")]


def structured(body, question):
    """What is asked for in a shape of its own: its name, and the arguments or the text that the shape wants."""
    choice = body.get("tool_choice") or {}
    forced = isinstance(choice, dict) and (choice.get("name") or choice.get("function", {}).get("name"))
    form = body.get("response_format", {}).get("json_schema", {}) or body.get("text", {}).get("format", {})
    name = forced or form.get("name")
    if not name:
        return None
    if name == "Plan":
        return name, bool(forced), {"steps": [step.strip() for step in question.split("plan:", 1)[1].split("|")]}
    plan, done = (ast.literal_eval(question.split(mark, 1)[1].split("\n")[1]) for mark in ("Your plan was", "You have done"))
    left = [step for step in plan if step not in [step for step, _ in done]]
    return name, bool(forced), {"action": {"steps": left} if left else {"response": "That is all."}}


async def read(request):
    body = await request.json()
    with open(LOG, "a") as out:
        headers = {k.lower(): v for k, v in request.headers.items()}
        out.write(json.dumps({"path": request.path, "headers": headers, "body": body}) + "\n")
    return body


async def events(request, all_of_them, end=True):
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for name, data in all_of_them:
        lines = (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        # Cut in the middle, so that nobody depends on where packets end.
        half = len(lines) // 2
        await answer.write(lines[:half].encode())
        await answer.write(lines[half:].encode())
    if end:
        await answer.write_eof()
    return answer


async def chat(request):
    body = await read(request)
    last, n = body["messages"][-1], next(NUMBERS)
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    base = {"id": f"chatcmpl-{n}", "created": 1, "model": body["model"]}
    if last["role"] == "tool":
        message, finish = {"role": "assistant", "content": "That is all."}, "stop"
    elif "whom to write" in text_of(last["content"]):
        message, finish = {"role": "assistant", "content": SAYS}, "stop"
    elif (shape := structured(body, text_of(last["content"]))) and not shape[1]:
        message, finish = {"role": "assistant", "content": json.dumps(shape[2])}, "stop"
    else:
        name, arguments = (shape[0], shape[2]) if shape else decide(body, text_of(last["content"]))
        function = {"name": name, "arguments": json.dumps(arguments)}
        calls = [{"id": f"call_{n}", "type": "function", "function": function}]
        message, finish = {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return web.json_response({**base, "object": "chat.completion", "choices": [choice], "usage": usage})

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return None, {**base, "object": "chat.completion.chunk", "choices": [choice]}

    out = [chunk({"role": "assistant", "content": ""})]
    for piece in pieces(message["content"] or ""):
        out.append(chunk({"content": piece}))
    for call in message.get("tool_calls", []):
        function = call["function"]
        first = {"index": 0, "id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": ""}}
        out.append(chunk({"tool_calls": [first]}))
        for piece in range(0, len(function["arguments"]), 9):
            part = {"index": 0, "function": {"arguments": function["arguments"][piece:piece + 9]}}
            out.append(chunk({"tool_calls": [part]}))
        if "stall" in text_of(last["content"]):
            answer = await events(request, out, end=False)
            await asyncio.sleep(20)
            return answer
    out += [chunk({}, finish), (None, {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}), (None, "[DONE]")]
    return await events(request, out)


async def messages(request):
    body = await read(request)
    last, n = body["messages"][-1], next(NUMBERS)
    blocks = last["content"] if isinstance(last["content"], list) else [{"type": "text", "text": last["content"]}]
    if any(block["type"] == "tool_result" for block in blocks):
        content, stop = [{"type": "text", "text": "That is all."}], "end_turn"
    elif "whom to write" in text_of(blocks):
        content, stop = [{"type": "text", "text": SAYS}], "end_turn"
    elif (shape := structured(body, text_of(blocks))) and not shape[1]:
        content, stop = [{"type": "text", "text": json.dumps(shape[2])}], "end_turn"
    else:
        name, arguments = (shape[0], shape[2]) if shape else decide(body, text_of(blocks))
        content, stop = [{"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": arguments}], "tool_use"
        if "aloud" in text_of(blocks):
            thought = {"type": "thinking", "thinking": "d.vance@example.com wants rows.", "signature": "c2ln"}
            search = {"type": "server_tool_use", "id": f"srvtoolu_{n}", "name": "web_search", "input": {"query": "orders"}}
            content = [thought, search, *content]
    base = {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 7}
    if not body.get("stream"):
        return web.json_response({**base, "content": content, "stop_reason": stop, "usage": usage})
    start = {**base, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    out = [("message_start", {"type": "message_start", "message": start}), ("ping", {"type": "ping"})]
    for i, block in enumerate(content):
        if block["type"] == "text":
            empty, kind, whole = {"type": "text", "text": ""}, "text_delta", block["text"]
        elif block["type"] == "thinking":
            empty, kind, whole = {"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", block["thinking"]
        else:
            empty, kind, whole = {**block, "input": {}}, "input_json_delta", json.dumps(block["input"])
        field = {"text_delta": "text", "thinking_delta": "thinking"}.get(kind, "partial_json")
        out.append(("content_block_start", {"type": "content_block_start", "index": i, "content_block": empty}))
        for at in range(0, len(whole), 9):
            delta = {"type": kind, field: whole[at:at + 9]}
            out.append(("content_block_delta", {"type": "content_block_delta", "index": i, "delta": delta}))
        out.append(("content_block_stop", {"type": "content_block_stop", "index": i}))
    out.append(("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 7}}))
    out.append(("message_stop", {"type": "message_stop"}))
    return await events(request, out)


async def responses(request):
    body = await read(request)
    items = body["input"] if isinstance(body["input"], list) else [{"type": "message", "role": "user", "content": body["input"]}]
    last, n = items[-1], next(NUMBERS)
    shape = structured(body, text_of(last.get("content", "")))
    asked = text_of(last.get("content", ""))
    if last.get("type") == "function_call_output" or (shape and not shape[1]) or "whom to write" in asked:
        text = json.dumps(shape[2]) if shape else SAYS if "whom to write" in asked else "That is all."
        part = {"type": "output_text", "text": text, "annotations": []}
        output = [{"type": "message", "id": f"msg_{n}", "role": "assistant", "status": "completed", "content": [part]}]
    else:
        name, arguments = (shape[0], shape[2]) if shape else decide(body, text_of(last["content"]))
        output = [{"type": "function_call", "id": f"fc_{n}", "call_id": f"call_r{n}", "name": name,
                   "arguments": json.dumps(arguments), "status": "completed"}]
    answer = {
        "id": f"resp_{n}", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
        "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18,
                  "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
    }
    if not body.get("stream"):
        return web.json_response(answer)
    started = {**answer, "status": "in_progress", "output": [], "usage": None}
    count = itertools.count()

    def event(kind, **fields):
        return kind, {"type": kind, "sequence_number": next(count), **fields}

    out = [event("response.created", response=started), event("response.in_progress", response=started)]
    for i, item in enumerate(output):
        if item["type"] == "function_call":
            out.append(event("response.output_item.added", output_index=i, item={**item, "arguments": "", "status": "in_progress"}))
            for at in range(0, len(item["arguments"]), 9):
                piece = item["arguments"][at:at + 9]
                out.append(event("response.function_call_arguments.delta", item_id=item["id"], output_index=i, delta=piece))
            out.append(event("response.function_call_arguments.done", item_id=item["id"], output_index=i, arguments=item["arguments"]))
        else:
            out.append(event("response.output_item.added", output_index=i, item={**item, "content": [], "status": "in_progress"}))
            where = {"item_id": item["id"], "output_index": i, "content_index": 0}
            out.append(event("response.content_part.added", part={"type": "output_text", "text": "", "annotations": []}, **where))
            whole = item["content"][0]["text"]
            for at, piece in enumerate(pieces(whole) if whole == SAYS else [whole]):
                out.append(event("response.output_text.delta", delta=piece, obfuscation="aZ3kQ9xT0bLm"[at % 12:], **where))
            out.append(event("response.output_text.done", text=item["content"][0]["text"], **where))
            out.append(event("response.content_part.done", part=item["content"][0], **where))
        out.append(event("response.output_item.done", output_index=i, item=item))
    out.append(event("response.completed", response=answer))
    return await events(request, out)


async def models(_request):
    return web.json_response({"object": "list", "data": [{"id": "scripted-1", "object": "model", "created": 1, "owned_by": "us"}]})


app = web.Application(client_max_size=64 << 20)
for base in ("", "/v1"):
    app.router.add_post(base + "/chat/completions", chat)
    app.router.add_post(base + "/responses", responses)
    app.router.add_post(base + "/messages", messages)
    app.router.add_get(base + "/models", models)
    app.router.add_post(base + "/strange", models)
tls = None
if len(sys.argv) > 4:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])
web.run_app(app, host="127.0.0.1", port=PORT, ssl_context=tls, print=None)
