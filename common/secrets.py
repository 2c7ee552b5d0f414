"""Secrets: those that are written into a spec are refused, those that a program gives reach its own workers.

A spec is dumped, logged and sent to the broker; a secret must not be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from common.faults import Loc, SpecFault, dotted

if TYPE_CHECKING:
    from common.steps.base import BaseStep

SECRETS_VARIABLE = "PENSTOCK_SECRETS"
"""Environment variable by which a program hands secrets to the workers that it starts."""

_ENDINGS = ("api_key", "apikey", "token", "password", "secret", "authorization", "cookie", "credentials")
_PASSWORD_IN_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#@\s]*:[^/?#@\s]+@")
_SPECIAL_TOKENS = frozenset(f"{name}_token" for name in ("bos", "eos", "pad", "unk", "sep", "cls", "mask", "stop"))
_COLUMN_NAMES = frozenset({"input_mappings", "output_mappings"})


def refuse_secrets(params: Mapping[str, Any], loc: Loc) -> None:
    """Looks at the parameters of a step and at the mappings in them; lists are data and are left alone.

    Raises:
        SpecFault: a key such as `api_key` or `hub_token` holds text, or any key a URL with a password. The message does
            not repeat the text.
    """
    for found in _urls(params, loc):
        raise SpecFault(
            f"'{dotted(found)}' holds a password in a URL; secrets come from the environment of the worker: take it "
            "out of the URL here (a base_url may come from OPENAI_BASE_URL there, password and all)",
            found,
        )
    for found in _secrets(params, loc):
        raise SpecFault(
            f"'{dotted(found)}' holds a secret in plain text; secrets come from the environment of the worker: remove "
            "it here and export it there (api_key_env: NAME says in which variable)",
            found,
        )


def _secrets(params: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
    for key, value in params.items():
        name = key.lower().replace("-", "_")
        if isinstance(value, str) and value and name.endswith(_ENDINGS) and name not in _SPECIAL_TOKENS:
            yield (*loc, key)
        elif isinstance(value, Mapping) and key not in _COLUMN_NAMES:
            yield from _secrets(value, (*loc, key))


def _urls(params: Mapping[str, Any], loc: Loc) -> Iterator[Loc]:
    for key, value in params.items():
        if isinstance(value, str) and _PASSWORD_IN_URL.match(value):
            yield (*loc, key)
        elif isinstance(value, Mapping):
            yield from _urls(value, (*loc, key))


def collect_secrets(steps: Iterable[BaseStep]) -> dict[str, str]:
    """Secrets that were given to steps in Python, by their place, such as `generate.llm.api_key`."""
    found: dict[str, str] = {}
    for step in steps:
        _collect(step, step.name, found)
    return found


def give_secrets(step: BaseStep, environment: Mapping[str, str]) -> None:
    """Gives a step that a worker has built the secrets that `collect_secrets` took from it."""
    secrets: dict[str, str] = json.loads(environment.get(SECRETS_VARIABLE, "{}"))
    for place, secret in secrets.items():
        name, *fields, last = place.split(".")
        if name == step.name:
            owner: Any = step
            for field in fields:
                owner = getattr(owner, field)
            setattr(owner, last, SecretStr(secret))


def _collect(model: BaseModel, place: str, found: dict[str, str]) -> None:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SecretStr):
            found[f"{place}.{name}"] = value.get_secret_value()
        elif isinstance(value, BaseModel):
            _collect(value, f"{place}.{name}", found)
