"""Tasks made of functions, for specs in tests: `tests.support.steps.sample_tasks:Topics`."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

from pydantic import BaseModel

from common.steps import Row, RuntimeParameter
from common.steps.tasks import GeneratorTask, task


@task(outputs=["topics"])
def Topics(answer: str) -> Any:
    """Name the topics of this text.

    {{ text }}"""
    return {"topics": answer.split()}


class Verdict(BaseModel):
    """What a judge says."""

    score: int
    reason: str = ""


@task()
def Judge(answer: str) -> Verdict:
    """Rate the answer {{ answer }} to {{ question }}."""


class Parts(TypedDict):
    first: str
    second: str


@task(template="Write about {{ text }}.", system_prompt="Be brief.")
def Halves(answer: str, row: dict[str, Any], separator: RuntimeParameter[str] = "/") -> Parts:
    """Two texts about one."""
    first, second = answer.split(separator or "/")
    return {"first": f"{row['text']}: {first}", "second": second}


@task(inputs=["instruction", "tone"], outputs=["reply"])
def Ported(output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
    """A docstring as distilabel has it.

    ---
    system_prompt: |
        Your tone is {tone}.
    user_message_template: |
        Answer with JSON such as {{"a": 1}}: {instruction}
    ---
    """
    return {"reply": output}


class Numbered(GeneratorTask):
    """Asks for numbers."""

    outputs: ClassVar[Any] = ["number", "said"]

    def seed_row(self, number: int) -> Row:
        return {"number": number}

    def format_input(self, row: Row) -> str:
        return f"Say {row['number']}."

    def format_output(self, text: str | None, row: Row) -> dict[str, Any]:
        return {"said": text}
