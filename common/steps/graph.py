"""How steps are connected in Python: `a >> b`, `a >> [b, c]`, `[a, b] >> c`, `a >> routing >> [b, c]`."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, overload

from common.errors import UsageError
from common.routing import RoutingBatchFunction

OfGraph = TypeVar("OfGraph", contravariant=True)
"""What a pipeline accepts as a step."""
Target = TypeVar("Target", bound="Connectable")


class StepGraph(Protocol[OfGraph]):
    """A pipeline under construction."""

    def unused_name(self, base: str) -> str:
        """A name that no step has yet, derived from a class name."""

    def add_step(self, step: OfGraph) -> None:
        """Raises UsageError: another step has the name."""

    def add_edge(self, source: OfGraph, target: OfGraph) -> None:
        """Raises UsageError: a step of another pipeline, a second edge, a cycle."""

    def add_routing(self, source: OfGraph, function: RoutingBatchFunction) -> None:
        """Raises UsageError: the step has a routing function already."""


current_graph: ContextVar[StepGraph[Any] | None] = ContextVar("pipeline", default=None)
"""The pipeline whose `with` block is active: new steps belong to it."""


class Connectable:
    """The operators of a step."""

    @property
    def graph(self) -> StepGraph[Any] | None:
        """The pipeline that the step belongs to."""
        raise NotImplementedError

    def connect(self, *targets: Connectable, routing_batch_function: RoutingBatchFunction | None = None) -> None:
        """Makes `targets` successors of this step; with a function, each batch goes only to some of them.

        Raises:
            UsageError: one of them belongs to no pipeline or to another one, is connected already, or would close a
                cycle.
        """
        graph = _graph_of(self)
        for target in targets:
            graph.add_edge(self, target)
        if routing_batch_function is not None:
            graph.add_routing(self, routing_batch_function)

    @overload
    def __rshift__(self, other: Target) -> Target: ...
    @overload
    def __rshift__(self, other: Sequence[Target]) -> Sequence[Target]: ...
    @overload
    def __rshift__(self, other: RoutingBatchFunction) -> RoutedStep: ...
    def __rshift__(self, other: Any) -> Any:
        """Connects this step to a step or each step of a list, and returns it; a routing function waits for a list."""
        if isinstance(other, RoutingBatchFunction):
            return RoutedStep(self, other)
        self.connect(*_steps(other))
        return other

    def __rrshift__(self, others: Sequence[Connectable]) -> Self:
        """Connects each step of a list to this step."""
        for other in _steps(others):
            other.connect(self)
        return self


@dataclass(frozen=True, slots=True)
class RoutedStep:
    """A step and its routing function: the left half of `step >> function >> [a, b]`."""

    step: Connectable
    function: RoutingBatchFunction

    def __rshift__(self, targets: Sequence[Target]) -> Sequence[Target]:
        """Connects the step to the list, and routes its batches.

        Raises:
            UsageError: not a list of steps.
        """
        if not isinstance(targets, list | tuple):
            raise UsageError(
                f"a routing batch function chooses among a list of steps, not {_shown(targets)}: "
                "step >> function >> [a, b]"
            )
        self.step.connect(*_steps(targets), routing_batch_function=self.function)
        return targets


def _steps(value: object) -> Sequence[Any]:
    if isinstance(value, Connectable):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(step, Connectable) for step in value):
        return value
    raise UsageError(
        f"'>>' connects a step to a step, to a list of steps or to a routing function, not {_shown(value)}"
    )


def _graph_of(step: Connectable) -> StepGraph[Any]:
    if (graph := step.graph) is None:
        raise UsageError(
            f"{_shown(step)} belongs to no pipeline: create it inside 'with Pipeline(...):', or pass it to "
            "pipeline.add_step(step) first"
        )
    return graph


def _shown(value: object) -> str:
    if isinstance(value, Connectable):
        return f"step '{getattr(value, 'name', '')}'"
    return f"a {type(value).__name__}"
