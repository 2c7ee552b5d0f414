"""Secrets that a program gives to steps in Python: no spec has them, and they reach the workers that it starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, SecretStr

from common.building.components import components
from common.steps.base import BaseStep

SECRETS_VARIABLE = "PENSTOCK_SECRETS"
"""Environment variable by which a program hands secrets to the workers that it starts."""


def collect_secrets(steps: Iterable[BaseStep]) -> dict[str, str]:
    """Secrets that were given to steps and to models in them in Python, by their place, such as `ask.llm.api_key`."""
    return {
        f"{start}{field}": value.get_secret_value()
        for step in steps
        for start, model in _models_by_place(step)
        for field in type(model).model_fields
        if isinstance(value := getattr(model, field), SecretStr)
    }


def give_secrets(step: BaseStep, environment: Mapping[str, str]) -> None:
    """Gives a step that a worker has built the secrets that `collect_secrets` took from it."""
    secrets: dict[str, str] = json.loads(environment.get(SECRETS_VARIABLE, "{}"))
    for start, model in _models_by_place(step):
        for field in type(model).model_fields:
            if secret := secrets.get(f"{start}{field}"):
                setattr(model, field, SecretStr(secret))


def _models_by_place(step: BaseStep) -> Iterator[tuple[str, BaseModel]]:
    """The step and the models in it, with what the places of their fields begin with."""
    for place, model in components(step):
        yield ".".join(map(str, (step.name, *place, ""))), model
