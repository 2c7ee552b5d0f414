"""The words in which the examples of the fold are told: short plans, entries of the journal, effects as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.protocol.batch import Batch, Chunk, Entry, Input, PartWritten, Payload, Result
from coordinator.fold.batch_manager import BatchManager, Halt
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from coordinator.plan.plan import Plan, Scope, StepPlan

ROW_BYTES = 10


@dataclass(frozen=True)
class Finish:
    """Every step has ended and every leaf is on disk."""


Told = Effect | Halt | Finish


def told(manager: BatchManager, entry: Entry) -> list[Told]:
    """What follows from an entry: the effects, and then whether the run has halted or finished by it."""
    halted, finished = manager.halted, manager.finished
    following: list[Told] = list(manager.apply(entry))
    if manager.halted is not None and manager.halted is not halted:
        following.append(manager.halted)
    if manager.finished and not finished:
        following.append(Finish())
    return following


class Fold:
    """A batch manager to which a test tells what happens, in the journal's words."""

    def __init__(self, *steps: StepPlan) -> None:
        self.manager = BatchManager(Plan({step.name: step for step in steps}))

    def __call__(self, *entries: Entry) -> list[Told]:
        return [one for entry in entries for one in told(self.manager, entry)]


def generator(name: str = "g", **options: Any) -> StepPlan:
    return StepPlan(name, "generator", (), 10, 0.5, **options)


def step(name: str, *after: str, size: int = 10, rate: float = 0.5, **options: Any) -> StepPlan:
    return StepPlan(name, "step", after, size, rate, **options)


def global_step(name: str, *after: str, **options: Any) -> StepPlan:
    return StepPlan(name, "global", after, 10, 0.5, **options)


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


def sent(effects: Sequence[Told]) -> list[str]:
    """Batches to be sent: "a0 <- g0[0:3] g1[0:1]"; predecessors are parted by "|"."""
    return [_batch(effect.batch) for effect in effects if isinstance(effect, Dispatch)]


def sent_again(effects: Sequence[Told]) -> list[str]:
    return [f"{_batch(e.batch)}, attempt {e.batch.attempt}" for e in effects if isinstance(e, Redo)]


def released(effects: Sequence[Told]) -> list[str]:
    return [_payload(effect.payload) for effect in effects if isinstance(effect, Release)]


def emitted(effects: Sequence[Told]) -> list[str]:
    return [_payload(effect.payload) for effect in effects if isinstance(effect, Emit)]


def asked(effects: Sequence[Told]) -> list[Route]:
    return [effect for effect in effects if isinstance(effect, Route)]


def halts(effects: Sequence[Told]) -> list[Halt]:
    return [effect for effect in effects if isinstance(effect, Halt)]


def _batch(batch: Batch) -> str:
    return f"{batch.step}{batch.seq} <- " + " | ".join(_input(source) for source in batch.inputs)


def _input(source: Input) -> str:
    return " ".join(f"{_payload(s.payload)}[{s.start}:{s.stop}]" for s in source.slices) or f"nothing of {source.step}"


def _payload(payload: Payload) -> str:
    return f"{payload.step}{payload.seq}" + (f"'{payload.attempt}" if payload.attempt else "")
