"""A small planner-executor over OpenAI's and Anthropic's own clients. Usage: model_agent.py DIALECT STREAM QUESTION...

It knows the usual environment variables and nothing else. Each question is a conversation of its own: the model decides,
the tool runs (psql, or a line of text), and its result goes back. Prints what the tools gave and what the model said.
"""
import json
import subprocess
import sys

DIALECT, STREAM, QUESTIONS = sys.argv[1], sys.argv[2] == "stream", sys.argv[3:]
TOOLS = {
    "run_sql": {"type": "object", "properties": {"sql": {"type": "string"}, "why": {"type": "string"}}},
    "tell_weather": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def run(name, arguments):
    if name != "run_sql":
        return "sunny"
    done = subprocess.run(["psql", "-X", "-At", "-c", arguments["sql"]], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()


def chat(question):
    import openai

    client = openai.OpenAI()
    tools = [{"type": "function", "function": {"name": n, "parameters": p}} for n, p in TOOLS.items()]
    history = [{"role": "system", "content": "You are a clerk."}, {"role": "user", "content": question}]
    while True:
        if STREAM:
            calls, text = {}, ""
            for chunk in client.chat.completions.create(model="scripted-1", messages=history, tools=tools, stream=True):
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    for part in choice.delta.tool_calls or []:
                        call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
                        call["arguments"] += part.function.arguments or ""
            calls = list(calls.values())
        else:
            message = client.chat.completions.create(model="scripted-1", messages=history, tools=tools).choices[0].message
            text = message.content or ""
            calls = [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in message.tool_calls or []]
        if not calls:
            return text
        function = lambda c: {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
        history.append({"role": "assistant", "content": None, "tool_calls": [function(c) for c in calls]})
        for call in calls:
            said = run(call["name"], json.loads(call["arguments"]))
            print("tool:", said)
            history.append({"role": "tool", "tool_call_id": call["id"], "content": said})


def responses(question):
    import openai

    client = openai.OpenAI()
    tools = [{"type": "function", "name": n, "parameters": p, "strict": False} for n, p in TOOLS.items()]
    history = [{"role": "user", "content": question}]
    while True:
        asked = {"model": "scripted-1", "input": history, "tools": tools, "store": False}
        if STREAM:
            with client.responses.stream(**asked) as stream:
                answer = stream.get_final_response()
        else:
            answer = client.responses.create(**asked)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        for call in calls:
            said = run(call.name, json.loads(call.arguments))
            print("tool:", said)
            history.append({"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments})
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": said})


def messages(question):
    import anthropic

    client = anthropic.Anthropic()
    tools = [{"name": n, "input_schema": p} for n, p in TOOLS.items()]
    history = [{"role": "user", "content": question}]
    while True:
        asked = {"model": "scripted-1", "max_tokens": 100, "system": "You are a clerk.", "messages": history, "tools": tools}
        if STREAM:
            with client.messages.stream(**asked) as stream:
                answer = stream.get_final_message()
        else:
            answer = client.messages.create(**asked)
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in answer.content)
        content, results = [], []
        for call in calls:
            said = run(call.name, call.input)
            print("tool:", said)
            content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input})
            results.append({"type": "tool_result", "tool_use_id": call.id, "content": said})
        history += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]


for question in QUESTIONS:
    print("said:", {"chat": chat, "responses": responses, "messages": messages}[DIALECT](question).strip())
