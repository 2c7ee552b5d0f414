"""The steps of a pipeline written in Python, and their connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Token
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from common.building.dump import dump_routing, dump_step
from common.errors import UsageError
from common.routing import RoutingBatchFunction
from common.spec.spec import PipelineSpec
from common.steps.base import BaseStep
from common.steps.graph import StepGraph, current_graph
from coordinator.identity.request import LoadGroups

LONGEST_NAME = 64


class PipelineGraph:
    """A pipeline as it is written, and as data; `Pipeline` builds on it."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        name: str | None = None,
        description: str | None = None,
        cache_dir: str | Path | None = None,
        enable_metadata: bool = False,
        requirements: Sequence[str] = (),
        load_groups: LoadGroups | None = None,
        on_type_conflict: Literal["fail", "string"] = "fail",
        prices: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._name = name
        self.description = description
        self.cache_dir = Path(cache_dir) if cache_dir is not None else None
        self.enable_metadata = enable_metadata
        self.requirements = list(requirements)
        self.load_groups = load_groups
        self.on_type_conflict: Literal["fail", "string"] = on_type_conflict
        self.prices = {model: dict(price) for model, price in (prices or {}).items()}
        self._steps: dict[str, BaseStep] = {}
        self._after: dict[str, list[str]] = {}
        self._routing: dict[str, RoutingBatchFunction] = {}
        self._entered: list[Token[StepGraph[Any] | None]] = []

    # writing it

    def __enter__(self) -> Self:
        self._entered.append(current_graph.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_graph.reset(self._entered.pop())

    def unused_name(self, base: str) -> str:
        """`base` and the first number that makes the name unique."""
        number = 0
        while f"{base}_{number}" in self._steps:
            number += 1
        return f"{base}_{number}"

    def add_step(self, step: BaseStep) -> None:
        """Adds a step to the pipeline; a step created inside its `with` block is part of it already.

        Raises:
            UsageError: another step has the same name, or the step belongs to another pipeline.
        """
        if step.graph is not None and step.graph is not self:
            raise UsageError(f"step '{step.name}' belongs to another pipeline: create one step for each pipeline")
        if self._steps.setdefault(step.name, step) is not step:
            raise UsageError(f"there already is a step named '{step.name}': rename one of them")
        self._after.setdefault(step.name, [])
        step._graph = self

    def add_edge(self, source: BaseStep, target: BaseStep) -> None:
        """Sends the rows of `source` to `target`; written `source >> target`.

        Raises:
            UsageError: a step is not in this pipeline, or the edge is there already or would close a cycle.
        """
        for step in (source, target):
            if self._steps.get(step.name) is not step:
                raise UsageError(
                    f"step '{step.name}' is not in the pipeline of the step it is connected with: create it inside "
                    "the same 'with Pipeline(...):', or pass it to add_step first"
                )
        before = self._after[target.name]
        if source.name in before:
            raise UsageError(f"step '{target.name}' already comes after '{source.name}'; connect them only once")
        try:
            TopologicalSorter({**self._after, target.name: [*before, source.name]}).prepare()
        except CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise UsageError(
                f"step '{target.name}' cannot come after '{source.name}': the steps would form a cycle, {cycle}"
            ) from None
        before.append(source.name)

    def add_routing(self, source: BaseStep, function: RoutingBatchFunction) -> None:
        """Sends each batch of `source` to the successors chosen by `function`; written `source >> function >> [a, b]`.

        Raises:
            UsageError: the step already has a routing function.
        """
        if self._routing.setdefault(source.name, function) is not function:
            raise UsageError(f"step '{source.name}' already has a routing batch function; it can have only one")

    @property
    def name(self) -> str:
        """The given name, or one derived from the names of the steps."""
        return self._name or "_".join(["pipeline", *self._steps])[:LONGEST_NAME].rstrip("_-")

    @property
    def steps(self) -> Mapping[str, BaseStep]:
        """The steps by name, in the order in which they were added."""
        return dict(self._steps)

    def __eq__(self, other: object) -> bool:
        return self.spec().dump() == other.spec().dump() if isinstance(other, PipelineGraph) else NotImplemented

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}: {', '.join(self._steps) or 'no steps'})"

    def spec(self, load_groups: LoadGroups | None = None) -> PipelineSpec:
        """The pipeline as data; relative paths start in the current folder.

        Raises:
            UsageError: a class or function that no worker can import, or a parameter that cannot be written to a file.
            SpecFault: an unusable name, or a secret in plain text.
        """
        data: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "steps": {
                name: dump_step(step, self._after[name], base_dir=Path.cwd()) for name, step in self._steps.items()
            },
            "routing": {name: dump_routing(function) for name, function in self._routing.items()},
            "enable_metadata": self.enable_metadata,
            "requirements": self.requirements,
            "load_groups": _group_names(load_groups or self.load_groups),
            "on_type_conflict": self.on_type_conflict,
            "prices": self.prices,
        }
        return PipelineSpec.from_dict({key: value for key, value in data.items() if value or key == "steps"})


def _group_names(groups: Any) -> Any:
    if groups is None or isinstance(groups, str):
        return groups
    return [[step.name if isinstance(step, BaseStep) else step for step in group] for group in groups]
