"""LangGraph's plan-and-execute over one of three dialects, with a tool that asks PostgreSQL. Usage: langgraph_agent.py DIALECT TASK

A planner states a plan, an executor with tools carries out its first step, a replanner states what is left, until there is an
answer. Nothing in it knows of a gateway: the usual environment variables say where models and databases are.
"""
import operator
import os
import sys
from typing import Annotated, List, Tuple, TypedDict, Union

import psycopg
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel, Field

DIALECT, TASK = sys.argv[1], sys.argv[2]


def model():
    if DIALECT == "messages":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model="scripted-1", max_tokens=500)
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="scripted-1", use_responses_api=DIALECT == "responses")


@tool
def run_sql(sql: str) -> str:
    """Runs one SQL statement and gives its rows."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        try:
            cursor = connection.execute(sql)
            rows = cursor.fetchall() if cursor.description else cursor.statusmessage
        except psycopg.Error as error:
            return f"ERROR {error.sqlstate} {error}"
    print("tool:", rows)
    return str(rows)


class Plan(BaseModel):
    """What is to be done."""

    steps: List[str] = Field(description="steps in order")


class Response(BaseModel):
    """What the user is told."""

    response: str


class Act(BaseModel):
    """What comes next."""

    action: Union[Response, Plan] = Field(description="an answer, or the steps that are left")


class State(TypedDict):
    input: str
    plan: List[str]
    past_steps: Annotated[List[Tuple], operator.add]
    response: str


LLM = model()
EXECUTOR = create_react_agent(LLM, [run_sql], prompt="You are a clerk with a database.")
PLANNER = LLM.with_structured_output(Plan)
REPLANNER = LLM.with_structured_output(Act, **({} if DIALECT == "messages" else {"method": "function_calling"}))


def plan_step(state: State):
    said = PLANNER.invoke([("system", "Make a step by step plan."), ("user", state["input"])])
    return {"plan": said.steps}


def execute_step(state: State):
    listed = "\n".join(f"{n}. {step}" for n, step in enumerate(state["plan"], 1))
    step = state["plan"][0]
    task = f"For the following plan:\n{listed}\n\nYou are tasked with executing step 1, {step}."
    said = EXECUTOR.invoke({"messages": [("user", task)]})
    return {"past_steps": [(step, said["messages"][-1].content)]}


def replan_step(state: State):
    prompt = (
        f"Your objective was this:\n{state['input']}\n\nYour plan was this:\n{state['plan']}\n\n"
        f"You have done these steps:\n{state['past_steps']}\n\nUpdate the plan."
    )
    said = REPLANNER.invoke([("user", prompt)])
    if isinstance(said.action, Response):
        return {"response": said.action.response}
    return {"plan": said.action.steps}


graph = StateGraph(State)
graph.add_node("planner", plan_step)
graph.add_node("agent", execute_step)
graph.add_node("replan", replan_step)
graph.add_edge(START, "planner")
graph.add_edge("planner", "agent")
graph.add_edge("agent", "replan")
graph.add_conditional_edges("replan", lambda state: END if state.get("response") else "agent", ["agent", END])
done = graph.compile().invoke({"input": TASK}, {"recursion_limit": 30})
print("said:", done["response"])
