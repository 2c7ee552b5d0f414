"""The words in which the examples of the fold are told: short plans, entries of the journal, effects as text."""

from __future__ import annotations

from typing import Any

from common.protocol.batch import Batch, Chunk, Entry, Input, PartWritten, Payload, Result
from coordinator.fold.batch_manager import BatchManager
from coordinator.fold.effects import Dispatch, Effect, Emit, Halt, Redo, Release, Route
from coordinator.plan.plan import Plan, Scope, StepPlan

ROW_BYTES = 10


class Fold:
    """A batch manager to which a test tells what happens, in the journal's words."""

    def __init__(self, *steps: StepPlan) -> None:
        self.manager = BatchManager(Plan({step.name: step for step in steps}))

    def __call__(self, *entries: Entry) -> list[Effect]:
        return [effect for entry in entries for effect in self.manager.apply(entry)]


def generator(name: str = "g", **options: Any) -> StepPlan:
    return StepPlan(name, "generator", (), 10, 0.5, "skip", **options)


def step(name: str, *after: str, size: int = 10, rate: float = 0.5, **options: Any) -> StepPlan:
    return StepPlan(name, "step", after, size, rate, "skip", **options)


def global_step(name: str, *after: str, **options: Any) -> StepPlan:
    return StepPlan(name, "global", after, 10, 0.5, "skip", **options)


def branch(routing: str, child: str) -> Scope:
    return ((routing, child),)


def done(name: str, seq: int, rows: int, attempt: int = 0, **fields: Any) -> Result:
    """A batch that stored `rows` rows, of `taken` rows that it was given: as many, unless said otherwise."""
    chunks = (Chunk(rows, rows * ROW_BYTES),) if rows else ()
    return Result(name, seq, attempt, chunks, **{"taken": rows, **fields})


def made(name: str, *sizes: int, last: bool = True) -> list[Entry]:
    """What a generator yields from its start; the last of it ends it unless said otherwise."""
    return [done(name, seq, rows, taken=0, last=last and seq == len(sizes) - 1) for seq, rows in enumerate(sizes)]


def part(name: str, first: int, last: int, rows: int = 0, failed: int = 0) -> PartWritten:
    return PartWritten(name, first, last, "part", rows, failed, "digest", b"schema")


def sent(effects: list[Effect]) -> list[str]:
    """Batches to be sent: "a0 <- g0[0:3] g1[0:1]"; predecessors are parted by "|"."""
    return [_batch(effect.batch) for effect in effects if isinstance(effect, Dispatch)]


def sent_again(effects: list[Effect]) -> list[str]:
    return [f"{_batch(e.batch)}, attempt {e.batch.attempt}" for e in effects if isinstance(e, Redo)]


def released(effects: list[Effect]) -> list[str]:
    return [_payload(effect.payload) for effect in effects if isinstance(effect, Release)]


def emitted(effects: list[Effect]) -> list[str]:
    return [_payload(effect.payload) for effect in effects if isinstance(effect, Emit)]


def asked(effects: list[Effect]) -> list[Route]:
    return [effect for effect in effects if isinstance(effect, Route)]


def halts(effects: list[Effect]) -> list[Halt]:
    return [effect for effect in effects if isinstance(effect, Halt)]


def _batch(batch: Batch) -> str:
    return f"{batch.step}{batch.seq} <- " + " | ".join(_input(source) for source in batch.inputs)


def _input(source: Input) -> str:
    return " ".join(f"{_payload(s.payload)}[{s.start}:{s.stop}]" for s in source.slices) or f"nothing of {source.step}"


def _payload(payload: Payload) -> str:
    return f"{payload.step}{payload.seq}" + (f"'{payload.attempt}" if payload.attempt else "")
