"""The graph of a pipeline, and every validation of it that needs no data."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from common.errors import SpecFault
from common.payloads.artifacts import ARTIFACTS
from common.routing import RoutingBatchFunction
from common.spec.spec import PipelineSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from common.words.faults import hint
from coordinator.plan.columns import check_columns
from coordinator.plan.contract import check_contract
from coordinator.plan.plan import Plan, StepPlan
from coordinator.plan.scopes import check_routing, find_scopes
from coordinator.plan.stages import find_stages


def build_plan(spec: PipelineSpec, steps: Mapping[str, BaseStep], routing: Mapping[str, RoutingBatchFunction]) -> Plan:
    """Validates a pipeline and returns the graph that the fold runs.

    Args:
        steps: the built steps of `spec`, by name.
        routing: its routing functions, by routing step.

    Raises:
        SpecFault: the first mistake, with its place in the spec.
    """
    if not spec.steps:
        raise SpecFault("the pipeline has no steps; add at least a generator step", ("steps",))
    _check_edges(spec)
    order = _topological_order(spec)
    ordered = {name: steps[name] for name in order}
    predecessors = {name: tuple(spec.steps[name].after) for name in order}
    for name, step in ordered.items():
        check_contract(step, predecessors[name])
    successors: dict[str, list[str]] = {name: [] for name in order}
    for name, before in predecessors.items():
        for other in before:
            successors[other].append(name)
    if successors.get(ARTIFACTS) == []:
        raise SpecFault(
            f"step '{ARTIFACTS}' is a leaf, and its rows would go where the dataset keeps artifacts; rename it",
            ("steps", ARTIFACTS),
        )
    check_routing(routing, successors)
    stages = find_stages(predecessors, [name for name in order if _kind(steps[name]) == "global"], spec.load_groups)
    check_columns(ordered, predecessors)
    scopes = find_scopes(ordered, predecessors, routing)
    levels = _trophic_levels(predecessors)
    return Plan(
        {
            name: StepPlan(
                name=name,
                kind=_kind(step),
                predecessors=predecessors[name],
                batch_size=_batch_size(step),
                max_failure_rate=step.max_failure_rate,
                optional=_kind(step) == "global" and not successors[name] and levels[name] < max(levels.values()),
                routed=name in routing,
                scope=scopes[name][0],
                converges=scopes[name][1],
            )
            for name, step in ordered.items()
        },
        stages,
    )


def _trophic_levels(predecessors: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The number of steps on the longest path to each step; `predecessors` is in topological order."""
    levels: dict[str, int] = {}
    for name, before in predecessors.items():
        levels[name] = 1 + max((levels[other] for other in before), default=0)
    return levels


def _check_edges(spec: PipelineSpec) -> None:
    for name, step in spec.steps.items():
        for index, other in enumerate(step.after):
            loc = ("steps", name, "after", index)
            if other not in spec.steps:
                known = [known for known in spec.steps if known != name]
                raise SpecFault(
                    f"step '{name}' comes after '{other}', which is not a step{hint(other, known, 'the steps are')}",
                    loc,
                )
            if other == name:
                raise SpecFault(f"step '{name}' comes after itself; name the step whose rows it takes", loc)
            if other in step.after[:index]:
                raise SpecFault(f"step '{name}' names '{other}' twice in its 'after'; remove one of them", loc)


def _topological_order(spec: PipelineSpec) -> Sequence[str]:
    """Predecessors first, otherwise in the order of the spec, so the order is the same in every process."""
    place = {name: index for index, name in enumerate(spec.steps)}
    sorter = TopologicalSorter({name: step.after for name, step in spec.steps.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:-1]
        first = min(range(len(cycle)), key=lambda index: place[cycle[index]])
        cycle = [*cycle[first:], *cycle[:first]]
        raise SpecFault(
            f"the steps form a cycle: {' -> '.join([*cycle, cycle[0]])}; remove one of them from the other's 'after'",
            ("steps", cycle[0], "after"),
        ) from None
    names, order, waiting = list(place), [], list[int]()
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(waiting, place[name])
        order.append(names[heapq.heappop(waiting)])
        sorter.done(order[-1])
    return order


def _kind(step: BaseStep) -> Literal["generator", "step", "global"]:
    return "step" if step.kind == "async" else step.kind


def _batch_size(step: BaseStep) -> int:
    if isinstance(step, GeneratorStep):
        return step.batch_size
    if isinstance(step, Step | AsyncStep):
        return step.input_batch_size
    raise TypeError(f"{type(step).__name__} is not one of the four kinds of steps")
