"""A coordinator that dies at every point between two effects, one after the other, until the run is complete."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.scenario import Scenario, draw_pipeline
from tests.chaos.stage import Stage, set_up
from tests.chaos.trial import end_workers, left_alone
from tests.chaos.verdict import check
from tests.support.runs.harness import Command

PIPELINE = 4
"""Routed, with failing rows, in several stages."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a coordinator dies: before or after the `number`-th time that it comes to an effect."""

    effect: str
    number: int
    when: str


def start_dying(stage: Stage, point: Point | None) -> Command:
    """The command, that dies at a point; without one it lives and counts its effects."""
    where = (point.effect, str(point.number), point.when) if point else ("none", "0", "before")
    counts = stage.harness.folder / "counts.json"
    arguments = ["run", str(stage.spec), "--broker", stage.broker.url, "--workers", "external"]
    return stage.harness.start_module("dying", "tests.chaos.dying_coordinator", *where, str(counts), *arguments)


def all_points(most: int = 1_000) -> list[Point]:
    """Of an undisturbed run, in about the order in which they come; at most so many of an effect.

    `renew_lease` is called by a clock: its first calls stand for all of them.
    """
    with TemporaryDirectory(prefix="penstock-chaos-") as folder, set_up(scenario(), Path(folder), run=False) as stage:
        stage.command = start_dying(stage, None)
        code = stage.command.wait(120)
        assert code == 3, stage.command.text
        counted: dict[str, int] = json.loads((stage.harness.folder / "counts.json").read_text())
    points = []
    for effect, count in counted.items():
        last = min(count, 2 if effect == "renew_lease" else most)
        numbers = range(1, last + 1)
        whens = ("before",) if "." in effect or effect == "open" else ("before", "after")
        points += [Point(effect, number, when) for number in numbers for when in whens]
    return points


def scenario() -> Scenario:
    """Workers and broker outlive the coordinator, so that another one is there in a second."""
    pipeline = draw_pipeline(PIPELINE)
    return Scenario(-2, pipeline, "external", dict.fromkeys(pipeline.steps, 1), ())


def die_at(points: Sequence[Point]) -> int:
    """Runs begin, die at one point after the other, and end as if nothing had happened; returns how often one died."""
    alone = left_alone(PIPELINE)
    left = list(points)
    died = 0
    while left:
        with TemporaryDirectory(prefix="penstock-chaos-") as name, set_up(scenario(), Path(name), run=False) as stage:
            tried: list[Point] = []
            try:
                while True:
                    point = left.pop(0) if left else None
                    if point is not None:
                        tried.append(point)
                    stage.command = start_dying(stage, point)
                    code = stage.command.wait(120)
                    if code == -signal.SIGKILL:
                        died += 1
                        continue
                    assert code == 3, f"the command ended with {code}: {stage.command.text}"
                    break
                end_workers(stage)
                check(stage, stage.scenario.pipeline, alone)
            except BaseException as error:
                error.add_note(f"died at {tried}\n{stage.command.text}")
                raise
    return died


__all__ = ["Point", "all_points", "die_at"]
