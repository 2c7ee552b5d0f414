"""Which of a step's parameters are signed if this host cannot build the step."""

from __future__ import annotations

from typing import Any

import pytest

from common.building.signed_parameters import parameters_as_written

PLACE = {"base_url": "http://here", "timeout": 5}


def around(model: dict[str, Any]) -> list[dict[str, Any]]:
    """Parameters that hold the value, in every kind of place."""
    return [
        {"llm": model},
        {"llms": [model]},
        {"by_name": {"a": [model]}},
        {"llm": {"type": "my:Router", "to": [model]}},
    ]


@pytest.mark.parametrize("kind", ["OpenAILLM", "my.clients:Client"])
def test_where_a_model_is_does_not_count(kind: str) -> None:
    without = around({"type": kind, "model": "m"})
    assert [parameters_as_written(params) for params in around({"type": kind, "model": "m", **PLACE})] == without


def test_how_many_texts_go_together_does_not_count() -> None:
    kind, size = {"type": "OpenAIEmbeddings", "model": "m"}, {"batch_size": 7}
    assert [parameters_as_written(params) for params in around({**kind, **PLACE, **size})] == around(kind)
    llm = {"type": "my.clients:Client", **size}
    assert parameters_as_written({"llm": llm}) == {"llm": llm}


@pytest.mark.parametrize(
    "params",
    [
        {"source": {"sinks": {"a": {"type": "http", **PLACE}}}},
        {"rows": [{"type": "page", **PLACE}]},
        {"options": {"inner": {"type": "page", **PLACE}}},
    ],
)
def test_data_of_the_same_names_count(params: dict[str, Any]) -> None:
    assert parameters_as_written(params) == params


def test_a_model_of_an_unknown_kind_is_known_by_its_place() -> None:
    assert parameters_as_written({"llm": {"type": "vendor", **PLACE}}) == {"llm": {"type": "vendor"}}
