"""Routing functions of a user's own, right and wrong, for specs: `tests.support.steps.sample_routing:in_turn`."""

from __future__ import annotations

from common.protocol.codec import Row
from common.routing import RoutingBatchFunction, routing_batch_function, sample_n_steps


@routing_batch_function("One after the other.")
def in_turn(steps: list[str], seq: int) -> list[str]:
    return [steps[seq % len(steps)]]


@routing_batch_function()
def every(steps: list[str], seq: int, n: int, offset: int = 0) -> list[str]:
    return steps if seq % n == offset else steps[:1]


@routing_batch_function(reads_rows=True)
def by_topic(steps: list[str], rows: list[Row], column: str = "topic") -> list[str]:
    return [step for step in steps if step == rows[0][column]]


@routing_batch_function(least_steps=3)
def the_third(steps: list[str]) -> list[str]:
    return steps[2:3]


def plain(steps: list[str], last: bool = False) -> list[str]:
    return steps[-1:] if last else steps[:1]


def by_length(limit: int, column: str = "text") -> RoutingBatchFunction:
    @routing_batch_function(reads_rows=True)
    def choose(steps: list[str], rows: list[Row]) -> list[str]:
        return steps[:1] if all(len(row[column]) <= limit for row in rows) else steps[1:]

    return choose


def one_of_them(seed: int) -> RoutingBatchFunction:
    return sample_n_steps(1, seed)


def silent_factory(n: int):  # type: ignore[no-untyped-def]
    """Does not say what it returns."""

    @routing_batch_function()
    def choose(steps: list[str]) -> list[str]:
        return steps[:n]

    return choose


def first_or(*others: str) -> RoutingBatchFunction:
    @routing_batch_function()
    def choose(steps: list[str]) -> list[str]:
        return [*steps[:1], *others]

    return choose


def with_rows(steps: list[str], rows: list[Row]) -> list[str]:
    """Lacks the decorator that says that it reads rows."""
    return steps


def no_steps() -> list[str]:
    return ["a"]


def not_what_it_says() -> RoutingBatchFunction:
    return ["a"]  # type: ignore[return-value]


def broken_factory(n: int) -> RoutingBatchFunction:
    raise LookupError(f"no {n}")


made_here = by_length(limit=9)
nameless = routing_batch_function()(lambda steps: steps[:1])
