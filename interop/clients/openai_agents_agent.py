"""OpenAI's Agents SDK with a tool that asks PostgreSQL through psql. Usage: openai_agents_agent.py TASK"""
import asyncio
import subprocess
import sys

from agents import Agent, Runner, function_tool, set_tracing_disabled

set_tracing_disabled(True)


@function_tool
def run_sql(sql: str) -> str:
    """Runs one SQL statement."""
    done = subprocess.run(["psql", "-X", "-At", "-c", sql], capture_output=True, text=True)
    print("tool:", (done.stdout or done.stderr).strip())
    return (done.stdout or done.stderr).strip()


async def main():
    agent = Agent(name="clerk", instructions="You are a clerk.", tools=[run_sql], model="scripted-1")
    streamed = Runner.run_streamed(agent, sys.argv[1])
    async for _event in streamed.stream_events():
        pass
    print("said:", streamed.final_output)


asyncio.run(main())
