"""Secrets that a program gives to steps in Python: they are in no spec, and reach the workers that it starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, SecretStr

from common.building.components import components
from common.steps.base import BaseStep

SECRETS_VARIABLE = "PENSTOCK_SECRETS"
"""Environment variable in which a program passes secrets to the workers that it starts."""


def collect_secrets(steps: Iterable[BaseStep]) -> dict[str, str]:
    """Secrets given in Python to steps and the models in them, by place, such as `ask.llm.api_key`."""
    return {
        f"{start}{field}": value.get_secret_value()
        for step in steps
        for start, model in _models_by_place(step)
        for field in type(model).model_fields
        if isinstance(value := getattr(model, field), SecretStr)
    }


def give_secrets(step: BaseStep, environment: Mapping[str, str]) -> None:
    """Gives a step built by a worker the secrets that `collect_secrets` found."""
    secrets: dict[str, str] = json.loads(environment.get(SECRETS_VARIABLE, "{}"))
    for start, model in _models_by_place(step):
        for field in type(model).model_fields:
            if secret := secrets.get(f"{start}{field}"):
                setattr(model, field, SecretStr(secret))


def _models_by_place(step: BaseStep) -> Iterator[tuple[str, BaseModel]]:
    """The step and the models in it, each with the prefix of its fields' places."""
    for place, model in components(step):
        yield ".".join(map(str, (step.name, *place, ""))), model
