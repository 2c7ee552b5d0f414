"""Secrets that are given in Python reach the models of a worker, wherever in a step these are."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from common.building.given_secrets import SECRETS_VARIABLE, collect_secrets, give_secrets
from common.llms import EchoLLM, OpenAILLM
from common.llms.base import LLM
from common.steps.base import Step, StepInput, StepOutput


class Holder(Step):
    """A step with models in all kinds of places."""

    llm: LLM | None = None
    several: list[LLM] = []
    by_name: dict[str, list[LLM]] = {}

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Router(EchoLLM):
    """An LLM that asks others."""

    others: dict[str, LLM] = {}


def client(key: str | None) -> OpenAILLM:
    return OpenAILLM(model="m", api_key=SecretStr(key) if key else None)


def holder(*keys: str | None) -> Holder:
    one, two, three, four = map(client, keys)
    return Holder(
        name="ask", llm=Router(others={"a.b": one}), several=[EchoLLM(), two], by_name={"x": [three], "y": [four]}
    )


def test_a_secret_reaches_its_model_wherever_that_is() -> None:
    given = collect_secrets([holder("first", "second", "third", None)])
    assert given == {
        "ask.llm.others.a.b.api_key": "first",
        "ask.several.1.api_key": "second",
        "ask.by_name.x.0.api_key": "third",
    }
    built = holder(None, None, None, None)
    give_secrets(built, {SECRETS_VARIABLE: json.dumps(given)})
    assert collect_secrets([built]) == given


@pytest.mark.parametrize("environment", [{}, {SECRETS_VARIABLE: json.dumps({"other.llm.api_key": "x"})}])
def test_a_step_that_none_was_given_to_gets_none(environment: dict[str, str]) -> None:
    built = holder(None, None, None, None)
    give_secrets(built, environment)
    assert collect_secrets([built]) == {}
