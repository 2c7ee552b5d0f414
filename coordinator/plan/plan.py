"""The graph that the fold runs: a pipeline without classes, parameters and columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from coordinator.plan.stages import Stages, find_stages

Scope = tuple[tuple[str, str], ...]
"""Routing branches around a step, outermost first: (routing step, the successor that begins the branch)."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step.

    Args:
        kind: "step" also stands for asynchronous steps, which differ only in how a worker runs them.
        predecessors: in the order of `after` in the spec, which is the order of the lists passed to `process`.
        batch_size: rows of an input batch per predecessor; for a generator, rows that it yields at a time.
        max_failure_rate: share of failed rows, from 0 to 1, above which the run halts.
        optional: a global leaf above the last trophic level: it may fail, and the run continues without its rows.
        routed: whether the successors of this step receive routed batches.
        scope: the branches that the step is in; its batches carry one origin per branch.
        converges: the routing step whose branches end in this step.
    """

    name: str
    kind: Literal["generator", "step", "global"]
    predecessors: tuple[str, ...]
    batch_size: int
    max_failure_rate: float
    optional: bool = False
    routed: bool = False
    scope: Scope = ()
    converges: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, each after its predecessors, and otherwise in the order of the spec.

    Args:
        stages: the steps that are loaded together, stage by stage; empty for a pipeline without load groups.
    """

    steps: dict[str, StepPlan]
    stages: Stages = ()
    _successors: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _stage: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Inverts the edges once; successors are in the order of `steps`."""
        if not self.stages:
            globals_ = [step.name for step in self.steps.values() if step.kind == "global"]
            before = {step.name: step.predecessors for step in self.steps.values()}
            object.__setattr__(self, "stages", find_stages(before, globals_))
        of_step = {name: number for number, stage in enumerate(self.stages) for name in stage}
        object.__setattr__(self, "_stage", of_step)
        inverted: dict[str, list[str]] = {name: [] for name in self.steps}
        for step in self.steps.values():
            for predecessor in step.predecessors:
                inverted[predecessor].append(step.name)
        object.__setattr__(self, "_successors", {name: tuple(after) for name, after in inverted.items()})

    @property
    def load_stages(self) -> list[list[str]]:
        """`stages` as plain data."""
        return [list(stage) for stage in self.stages]

    def successors(self, name: str) -> tuple[str, ...]:
        """The steps that take the output of `name`."""
        return self._successors[name]

    def stage(self, name: str) -> int:
        """The index of the step's stage in `stages`."""
        return self._stage[name]

    def waits_for_a_stage(self, name: str) -> bool:
        """Whether the output of the step waits for a later stage, or comes all at once, as it does from a global step.

        Such payloads may be all of the data, so they are not work in flight and belong outside the broker.
        """
        if self.steps[name].kind == "global":
            return True
        return any(self.stage(after) > self.stage(name) for after in self.successors(name))

    @property
    def leaves(self) -> tuple[str, ...]:
        """Steps whose rows form the dataset: those without successors."""
        return tuple(name for name, after in self._successors.items() if not after)

    @property
    def generators(self) -> tuple[str, ...]:
        """Generator steps."""
        return tuple(step.name for step in self.steps.values() if step.kind == "generator")
