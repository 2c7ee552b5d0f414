"""The fold against the sequential interpreter, over random pipelines, failures, crashes and orders of completion.

PENSTOCK_HYPOTHESIS=deep runs many more examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest
from random import Random
from typing import Literal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from common.protocol.batch import Failure, Reopened
from common.steps.base import BaseStep
from coordinator.fold.batch_manager import BatchManager
from coordinator.fold.effects import Release
from coordinator.plan.plan import Plan, Scope, StepPlan
from coordinator.plan.scopes import find_scopes
from tests.support.fold.fold_executor import FoldExecutor, snapshot
from tests.support.fold.fold_words import Finish, Told, told
from tests.support.fold.sequential_interpreter import Program, Row, interpret
from tests.support.fold.trouble import Conditions
from tests.support.steps.sample_steps import All, Join, Load

DEEP = os.environ.get("PENSTOCK_HYPOTHESIS") == "deep"

pytestmark = pytest.mark.timeout(3_600 if DEEP else 120)


def examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Settings for a property; `number` examples, forty times as many in a deep run."""
    return settings(
        max_examples=number * 40 if DEEP else number,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@dataclass(frozen=True)
class Pipeline:
    """A random pipeline. All functions in it are pure."""

    plan: Plan
    programs: dict[str, Program]


Shape = Literal["same", "filter", "expand", "none", "one", "reverse"]
SHAPES: tuple[Shape, ...] = ("same", "same", "same", "same", "filter", "filter", "expand", "one", "reverse", "none")


@dataclass(frozen=True)
class Work:
    """A step whose rows tell from what, at which place and in how large a batch they were made."""

    salt: int
    shape: Shape
    fails_every: int

    def process(self, inputs: list[list[Row]]) -> list[Row]:
        width = max(map(len, inputs))
        rows = [
            hash((self.salt, len(inputs), width, place, *column)) % 1_000_003
            for place, column in enumerate(zip_longest(*inputs, fillvalue=-7))
        ]
        match self.shape:
            case "same":
                return rows
            case "filter":
                return [row for row in rows if row % 3]
            case "expand":
                return [row + copy for row in rows for copy in range(row % 3)]
            case "none":
                return []
            case "one":
                return [sum(rows)]
            case "reverse":
                return rows[::-1]

    def fails(self, rows: list[Row]) -> bool:
        return bool(self.fails_every) and sum(rows) % self.fails_every == 0

    def choose(self, seq: int, rows: int, successors: tuple[str, ...]) -> tuple[str, ...]:
        picked = hash((self.salt, seq, rows)) % 2 ** len(successors)
        return tuple(name for place, name in enumerate(successors) if picked >> place & 1)

    def choose_by_rows(self, rows: list[Row], successors: tuple[str, ...]) -> tuple[str, ...]:
        return self.choose(sum(rows), len(rows), successors)


class _Sketch:
    """A pipeline in the making."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.steps: dict[str, StepPlan] = {}
        self.programs: dict[str, Program] = {}

    def add(
        self,
        kind: Literal["generator", "step", "global"],
        predecessors: tuple[str, ...],
        scope: Scope = (),
        converges: str | None = None,
        routes: float = 0.0,
    ) -> None:
        """Adds a step and, if it routes, the successors that it routes to; `routes` is the chance of that."""
        number = len(self.steps)
        name = f"{kind}{number}"
        routed = self.random.random() < routes and len(scope) < 2
        nulls = self.random.choice((False, False, True))
        size = self.random.randint(1, 7)
        self.steps[name] = StepPlan(name, kind, predecessors, size, 1.0, False, routed, scope, converges)
        sizes = [self.random.randint(0, 9) for _ in range(self.random.choice((0, 1, 3, 5, 6, 7, 8, 9)))]
        work = Work(number, self.random.choice(SHAPES), self.random.choice((0, 0, 0, 4, 2)) if kind == "step" else 0)
        yields = [[1_000 * number + 10 * seq + place for place in range(size)] for seq, size in enumerate(sizes)]
        made = yields if kind == "generator" else []
        reads_rows = self.random.random() < 0.5
        by_rows = work.choose_by_rows if routed and reads_rows else None
        self.programs[name] = Program(made, work.process, work.fails, work.choose, by_rows, nulls)
        if routed:
            for _ in range(self.random.choice((1, 2, 2, 3))):
                if self.random.random() < 0.1:
                    self.add("global", (name,))
                else:
                    child = f"step{len(self.steps)}"
                    self.add("step", (name,), (*scope, (name, child)), routes=0.15)

    def grow(self) -> None:
        """Adds a global step, a convergence step where branches are open, a join or a plain step."""
        free = [name for name, step in self.steps.items() if not step.routed]
        if not free:
            return
        forks = self._forks(free)
        groups = self._groups(free)
        joins = [group for group in groups.values() if len(group) > 1]
        what = self.random.random()
        if what < 0.12:
            self.add("global", self._some(free, 1), routes=0.3)
        elif what < 0.4 and forks:
            (scope, routing), branches = self.random.choice(list(forks.items()))
            sources = [source for branch in self._some(list(branches), 2) for source in self._some(branches[branch], 1)]
            self.add("step", tuple(sources), scope, routing, routes=0.15)
        elif what < 0.65 and joins:
            group = self.random.choice(joins)
            self.add("step", self._some(group, 2), self.steps[group[0]].scope, routes=0.15)
        else:
            source = self.random.choice(free)
            self.add("step", (source,), self.steps[source].scope, routes=0.25)

    def _groups(self, free: list[str]) -> dict[Scope, list[str]]:
        """Steps by scope: those that may be joined."""
        groups: dict[Scope, list[str]] = {}
        for name in free:
            groups.setdefault(self.steps[name].scope, []).append(name)
        return groups

    def _forks(self, free: list[str]) -> dict[tuple[Scope, str], dict[str, list[str]]]:
        """Steps by (scope, routing step) and branch, where at least two branches are open."""
        forks: dict[tuple[Scope, str], dict[str, list[str]]] = {}
        for scope, group in self._groups(free).items():
            if scope:
                forks.setdefault((scope[:-1], scope[-1][0]), {})[scope[-1][1]] = group
        return {fork: branches for fork, branches in forks.items() if len(branches) > 1}

    def _some(self, names: list[str], least: int) -> tuple[str, ...]:
        return tuple(self.random.sample(names, self.random.randint(least, max(least, min(3, len(names))))))


seeds = st.integers(0, 2**32 - 1)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Up to three generators and some eight steps: joins, fan-outs, global steps, routing, also nested."""
    sketch = _Sketch(Random(draw(seeds)))
    for _ in range(draw(st.sampled_from((1, 2, 3)))):
        sketch.add("generator", (), routes=0.2)
    for _ in range(draw(st.sampled_from((5, 3, 8, 1, 10)))):
        sketch.grow()
    return Pipeline(Plan(with_optional_leaves(sketch.steps)), sketch.programs)


def with_optional_leaves(steps: dict[str, StepPlan]) -> dict[str, StepPlan]:
    """Global leaves above the last level may fail without ending the run, as in `build_plan`."""
    levels: dict[str, int] = {}
    for name, step in steps.items():
        levels[name] = 1 + max((levels[other] for other in step.predecessors), default=0)
    sources = {other for step in steps.values() for other in step.predecessors}
    last = max(levels.values())
    return {
        name: replace(step, optional=step.kind == "global" and name not in sources and levels[name] < last)
        for name, step in steps.items()
    }


def conditions(pipeline: Pipeline, seed: int, crashes: float = 0.0, broken: bool = False) -> Conditions:
    """Draws from the seed what is not part of the pipeline."""
    random = Random(seed)
    names = list(pipeline.plan.steps)
    return Conditions(
        seed,
        crashes,
        frozenset((random.choice(names), random.randrange(4)) for _ in range(3)) if broken else frozenset(),
        ends_empty=frozenset(name for name in pipeline.plan.generators if random.random() < 0.5),
    )


def run(pipeline: Pipeline, with_conditions: Conditions) -> FoldExecutor:
    return FoldExecutor(pipeline.plan, pipeline.programs, with_conditions).run()


def in_order(executor: FoldExecutor) -> dict[str, list[object]]:
    """The batches of every step that has inputs, by seq; dense because the executor checks it."""
    return {
        name: [inputs for _, inputs in sorted(batches.items())] for name, batches in executor.workers.batches.items()
    }


@examples(150)
@given(pipelines(), seeds)
def test_rows_and_batches_are_those_of_the_sequential_interpreter(pipeline: Pipeline, seed: int) -> None:
    expected = interpret(pipeline.plan, pipeline.programs)
    executor = run(pipeline, conditions(pipeline, seed))
    assert executor.sink.leaves == expected.leaves
    assert in_order(executor) == expected.batches
    assert executor.halts == []


@examples(60)
@given(pipelines())
def test_the_branches_of_a_pipeline_are_found_in_its_edges(pipeline: Pipeline) -> None:
    plan = pipeline.plan
    steps: dict[str, BaseStep] = {
        name: All(name=name)
        if step.kind == "global"
        else Load(name=name)
        if step.kind == "generator"
        else Join(name=name)
        for name, step in plan.steps.items()
    }
    predecessors = {name: step.predecessors for name, step in plan.steps.items()}
    routing = dict.fromkeys(name for name, step in plan.steps.items() if step.routed)
    found = find_scopes(steps, predecessors, routing)
    assert found == {name: (step.scope, step.converges) for name, step in plan.steps.items()}


@examples(60)
@given(pipelines(), seeds, seeds)
def test_the_order_of_completion_does_not_matter(pipeline: Pipeline, seed: int, other_seed: int) -> None:
    one, other = (run(pipeline, conditions(pipeline, s)) for s in (seed, other_seed))
    assert one.sink.leaves == other.sink.leaves
    assert in_order(one) == in_order(other)


@examples(60)
@given(pipelines(), seeds, st.sampled_from((0.01, 0.05, 0.2)))
def test_a_coordinator_that_dies_at_any_moment_changes_nothing(pipeline: Pipeline, seed: int, crashes: float) -> None:
    expected = interpret(pipeline.plan, pipeline.programs)
    executor = run(pipeline, conditions(pipeline, seed, crashes))
    assert executor.sink.leaves == expected.leaves
    assert in_order(executor) == expected.batches


@examples(60)
@given(pipelines(), seeds, st.sampled_from((0.0, 0.05)))
def test_a_run_that_is_reopened_after_failures_ends_as_if_there_had_been_none(
    pipeline: Pipeline, seed: int, crashes: float
) -> None:
    expected = interpret(pipeline.plan, pipeline.programs)
    executor = run(pipeline, conditions(pipeline, seed, crashes, broken=True))
    assert executor.sink.leaves == expected.leaves | {leaf: [] for leaf in executor.workers.given_up}
    assert in_order(executor) == expected.batches
    failures = {entry.step for entry in executor.journal.entries if isinstance(entry, Failure)}
    assert bool(executor.halts) == bool(failures - executor.workers.given_up)


@examples(60)
@given(pipelines(), seeds, st.sampled_from((0.0, 0.05)), st.data())
def test_an_outage_leaves_no_trace_once_the_run_is_reopened(
    pipeline: Pipeline, seed: int, crashes: float, data: st.DataObject
) -> None:
    """It halts the run before a failed row is kept, however few rows the step has."""
    steps = dict(pipeline.plan.steps)
    candidates = [name for name, step in steps.items() if step.kind == "step"]
    assume(candidates)
    name = data.draw(st.sampled_from(candidates))
    steps[name] = replace(steps[name], max_failure_rate=0.9)
    programs = {**pipeline.programs, name: replace(pipeline.programs[name], fails=lambda rows: False)}
    expected = interpret(pipeline.plan, programs)
    there = replace(conditions(pipeline, seed, crashes), outage=name)
    executor = FoldExecutor(Plan(steps), programs, there).run()
    assert executor.sink.leaves == expected.leaves
    assert in_order(executor) == expected.batches
    assert bool(executor.halts) == (expected.taken[name] > 0)


@examples(60)
@given(pipelines(), seeds, st.booleans(), st.data())
def test_entries_that_come_twice_change_nothing(
    pipeline: Pipeline, seed: int, broken: bool, data: st.DataObject
) -> None:
    journal = run(pipeline, conditions(pipeline, seed, broken=broken)).journal.entries
    once, twice = BatchManager(pipeline.plan), BatchManager(pipeline.plan)
    random = Random(data.draw(seeds))
    effects: list[Told] = []
    repeated: list[Told] = []
    for place, entry in enumerate(journal):
        effects += told(once, entry)
        repeated += told(twice, entry)
        before = journal[: place + 1]
        for again in random.sample(before, min(len(before), random.randrange(3))):
            if not isinstance(again, Reopened) or once.halted is None:  # the only entry without an identity
                assert all(isinstance(effect, Release) for effect in twice.apply(again)), "of what it stored itself"
        assert repeated == effects
    assert snapshot(twice) == snapshot(once)
    assert effects.count(Finish()) == 1
