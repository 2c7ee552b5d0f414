"""What a pipeline means: every step runs to its end before the next one starts, in memory, one batch after another.

It is the yardstick of the fold, so it shares no code with it and prefers the obvious to the fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.plan.plan import Plan, StepPlan

Row = int
Rows = list[Row | None]
"""Rows in their places; None is a hole."""

Origin = tuple[int, ...]
"""The routed batches that rows come from: one seq per routing step around them, outermost first."""

NULLS: Row = -1
"""What a failed row becomes under `on_error: nulls`."""


def _nothing(inputs: list[list[Row]]) -> list[Row]:
    return []


def _never(rows: list[Row]) -> bool:
    return False


def _everywhere(seq: int, rows: int, successors: tuple[str, ...]) -> tuple[str, ...]:
    return successors


@dataclass(frozen=True)
class Program:
    """What one step does.

    Args:
        yields: what a generator yields, one batch each.
        process: rows in, one list per input, to rows out.
        fails: whether a position fails, given its row in each input that has one.
        choose: routing, by (seq of the output, its rows, successors).
        choose_by_rows: routing that reads the whole rows of an output instead; an output without one goes nowhere.
        nulls: whether a failed row is kept, as `NULLS`.
    """

    yields: list[list[Row]] = field(default_factory=list)
    process: Callable[[list[list[Row]]], list[Row]] = _nothing
    fails: Callable[[list[Row]], bool] = _never
    choose: Callable[[int, int, tuple[str, ...]], tuple[str, ...]] = _everywhere
    choose_by_rows: Callable[[list[Row], tuple[str, ...]], tuple[str, ...]] | None = None
    nulls: bool = False

    def successors(self, seq: int, rows: Rows, successors: tuple[str, ...]) -> tuple[str, ...]:
        """Where an output goes."""
        if self.choose_by_rows is None:
            return self.choose(seq, len(rows), successors)
        whole = [row for row in rows if row is not None]
        return self.choose_by_rows(whole, successors) if whole else ()


@dataclass(frozen=True)
class Outcome:
    """What became of one batch: the rows put out, and of the positions put in, how many were what."""

    rows: Rows
    taken: int
    failed: int
    lost: int


def run_batch(step: StepPlan, program: Program, inputs: list[Rows]) -> Outcome:
    """Runs a step on what is whole and puts the holes back."""
    fillers: Rows = []
    survivors: list[int] = []
    output: Rows = []
    failed = broken = 0
    places: list[bool] = []
    for position in range(max(len(rows) for rows in inputs)):
        there = [rows[position] for rows in inputs if position < len(rows)]
        whole = [row for row in there if row is not None]
        survives = False
        if len(whole) < len(there):
            broken += 1
            fillers.append(None)
        elif program.fails(whole):
            failed += 1
            fillers.append(NULLS if program.nulls else None)
        else:
            survives = True
            survivors.append(position)
        places.append(survives)
    given = [[row for place in survivors if place < len(rows) and (row := rows[place]) is not None] for rows in inputs]
    made = program.process(given) if survivors else []
    if len(made) == len(survivors):
        made_rows, holes = iter(made), iter(fillers)
        output = [next(made_rows) if survives else next(holes) for survives in places]
    else:
        output = [*made, *fillers]
    return Outcome(output, len(survivors) + failed, failed, broken if len(inputs) > 1 else 0)


@dataclass
class Interpretation:
    """All that is known after a run: the rows of each leaf, and per step the inputs of its batches."""

    leaves: dict[str, list[Row]] = field(default_factory=dict)
    batches: dict[str, list[list[Rows]]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)


def interpret(plan: Plan, programs: dict[str, Program]) -> Interpretation:
    """Runs the plan, step by step."""
    return _Interpreter(plan, programs).run()


class _Interpreter:
    """Outputs of a step are kept by origin, in order: {origin: [(seq, rows), ...]}."""

    def __init__(self, plan: Plan, programs: dict[str, Program]) -> None:
        self.plan = plan
        self.programs = programs
        self.outputs: dict[str, dict[Origin, list[tuple[int, Rows]]]] = {}
        self.done = Interpretation()

    def run(self) -> Interpretation:
        for step in self.plan.steps.values():
            self.done.batches[step.name] = []
            self.done.taken[step.name] = 0
            if step.kind == "generator":
                yields: list[Rows] = [list(rows) for rows in self.programs[step.name].yields]
                self.outputs[step.name] = {(): list(enumerate(yields))}
            elif step.kind == "global":
                self._run_global(step)
            elif step.converges:
                self._run_convergence(step, step.converges)
            else:
                self._run_step(step)
        for leaf in self.plan.leaves:
            everything = [row for rows in self._arriving(leaf).values() for row in rows]
            self.done.leaves[leaf] = [row for row in everything if row is not None]
        return self.done

    def _run_step(self, step: StepPlan) -> None:
        arriving = [self._arriving(source, step.name) for source in step.predecessors]
        outputs = self.outputs[step.name] = {origin: [] for origin in arriving[0]}
        for origin in outputs:
            left = [rows[origin] for rows in arriving]
            while any(left):
                batch, left = [r[: step.batch_size] for r in left], [r[step.batch_size :] for r in left]
                outputs[origin].append(self._run(step, batch))

    def _run_convergence(self, step: StepPlan, routing: str) -> None:
        arriving = {source: self._arriving(source, step.name) for source in step.predecessors}
        branch = {source: self.plan.steps[source].scope[len(step.scope)][1] for source in step.predecessors}
        outputs = self.outputs[step.name] = {origin: [] for origin in self.outputs[routing]}
        for origin, seq, _, chosen in self._routed(routing):
            batch = [rows[*origin, seq] for source, rows in arriving.items() if branch[source] in chosen]
            if any(batch):
                outputs[origin].append(self._run(step, batch))

    def _run_global(self, step: StepPlan) -> None:
        arriving = [self._arriving(source, step.name).values() for source in step.predecessors]
        batch: list[Rows] = [[row for rows in parts for row in rows] for parts in arriving]
        made = self._run(step, batch)[1] if any(batch) else []
        chunks = [made[i : i + step.batch_size] for i in range(0, len(made), step.batch_size)]
        self.outputs[step.name] = {(): list(enumerate(chunks))}

    def _run(self, step: StepPlan, batch: list[Rows]) -> tuple[int, Rows]:
        seq = len(self.done.batches[step.name])
        self.done.batches[step.name].append(batch)
        outcome = run_batch(step, self.programs[step.name], batch)
        self.done.taken[step.name] += outcome.taken
        return seq, outcome.rows

    def _arriving(self, source: str, target: str | None = None) -> dict[Origin, Rows]:
        """All rows that come from `source`, per origin."""
        if self.plan.steps[source].routed and target:
            return {(*origin, seq): rows for origin, seq, rows, chosen in self._routed(source) if target in chosen}
        return {
            origin: [row for _, rows in outputs for row in rows] for origin, outputs in self.outputs[source].items()
        }

    def _routed(self, routing: str) -> list[tuple[Origin, int, Rows, tuple[str, ...]]]:
        """Every output with rows of a routing step, and the successors chosen for it."""
        successors = self.plan.successors(routing)
        program = self.programs[routing]
        return [
            (origin, seq, rows, program.successors(seq, rows, successors))
            for origin, outputs in self.outputs[routing].items()
            for seq, rows in outputs
            if rows
        ]
