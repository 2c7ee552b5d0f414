"""Clients of embedding models, from `common.llms.embeddings`."""

from __future__ import annotations

from typing import Any

from penstock.own_packages import own_attribute


def __getattr__(name: str) -> Any:
    return own_attribute(__name__, "common.llms.embeddings", name)


def __dir__() -> list[str]:
    return list(own_attribute(__name__, "common.llms.embeddings", "__all__"))
