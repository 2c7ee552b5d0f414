"""The kinds of steps and the built-in steps, from `common.steps`."""

from __future__ import annotations

from typing import Any

from penstock.own_packages import own_attribute


def __getattr__(name: str) -> Any:
    return own_attribute(__name__, "common.steps", name)


def __dir__() -> list[str]:
    return list(own_attribute(__name__, "common.steps", "__all__"))
