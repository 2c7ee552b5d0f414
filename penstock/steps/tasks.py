"""Steps that call a language model, from `common.steps.tasks`."""

from __future__ import annotations

from typing import Any

from penstock.own_packages import own_attribute


def __getattr__(name: str) -> Any:
    return own_attribute(__name__, "common.steps.tasks", name)


def __dir__() -> list[str]:
    return list(own_attribute(__name__, "common.steps.tasks", "__all__"))
