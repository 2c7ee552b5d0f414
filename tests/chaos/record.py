"""Plays many seeds and writes what came of them into docs/guarantees.md: `python -m tests.chaos.record --seeds 200`.

A seed that fails is named with everything that is known about it, and the page is left alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.deaths import Point, all_points, die_at
from tests.chaos.scenario import KINDS, draw
from tests.chaos.stage import Takeover
from tests.chaos.trial import Trial, play

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- record: begin -->", "<!-- record: end -->"
DEATHS_OF_A_RUN = 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="runs with faults, from seed FIRST on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--deaths", type=int, default=1_000, help="calls of each effect at which a coordinator dies")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--keep", type=Path, help="a folder for the files of runs that fail")
    parser.add_argument("--dry", action="store_true", help="leave the page alone")
    asked = parser.parse_args()
    began = time.monotonic()
    with ThreadPoolExecutor(asked.jobs) as pool:
        seeds = range(asked.first, asked.first + asked.seeds)
        trials = list(pool.map(lambda seed: try_seed(seed, asked.keep), seeds))
        points = all_points(asked.deaths) if asked.deaths else []
        groups = [points[start : start + DEATHS_OF_A_RUN] for start in range(0, len(points), DEATHS_OF_A_RUN)]
        deaths = list(pool.map(try_points, groups))
    done = [trial for trial in trials if trial is not None]
    failed = len(trials) - len(done) + deaths.count(None)
    if failed:
        print(f"{failed} failed")
        return 1
    text = report(done, sum(filter(None, deaths)), len(points), time.monotonic() - began, asked.first)
    print(text)
    if not asked.dry:
        write(text)
    return 0


def try_seed(seed: int, keep: Path | None = None) -> Trial | None:
    """None where it failed, and says why."""
    try:
        trial = play(draw(seed), keep)
    except Exception as error:
        print(f"seed {seed} FAILED", file=sys.stderr)
        traceback.print_exception(error)
        return None
    done = ", ".join(trial.injected) or "nothing"
    print(
        f"seed {seed}: {trial.seconds:.0f} s, {trial.scenario.topology}, {done}; exit codes {trial.codes}", flush=True
    )
    return trial


def try_points(points: Sequence[Point]) -> int | None:
    """How often a coordinator died at them; None where that failed."""
    try:
        died = die_at(points)
    except Exception as error:
        print(f"points {points} FAILED", file=sys.stderr)
        traceback.print_exception(error)
        return None
    print(f"{len(points)} points from {points[0]} on: died {died} times", flush=True)
    return died


def report(trials: Sequence[Trial], deaths: int, points: int, seconds: float, first: int) -> str:
    """The record, in Markdown."""
    injected: Counter[str] = sum((trial.injected for trial in trials), Counter())
    runs: Counter[str] = Counter(kind for trial in trials for kind in trial.injected)
    executions = sum(len(trial.codes) for trial in trials)
    lines = [
        f"{len(trials)} runs (seeds {first} to {first + len(trials) - 1}), {sum(injected.values())} faults, "
        f"{executions} executions of the command, {seconds / 60:.0f} minutes. Every run ended with the rows, the "
        "order, the failed rows and the exit code of a run that was left alone.",
        "",
        "| fault | runs with it | times |",
        "|---|---|---|",
        *(f"| {kind} | {runs[kind]} | {injected[kind]} |" for kind in KINDS),
        "",
    ]
    if points:
        lines += [
            f"The coordinator was killed at {deaths} of {points} points between two effects; the others were not "
            "reached by an execution that goes on with a run that is nearly done.",
            "",
        ]
    for kind in ("worker killed", "worker killed with its keeper"):
        lines += takeover_line(kind, [one for trial in trials for one in trial.takeovers if one.kind == kind])
    return "\n".join(lines).rstrip()


def takeover_line(kind: str, takeovers: Sequence[Takeover]) -> list[str]:
    if not takeovers:
        return []
    leases = [one.leases for one in takeovers]
    return [
        f"Time from the death until another worker had the batches, {kind}, {len(leases)} times: median "
        f"{statistics.median(leases):.2f} leases, longest {max(leases):.2f}.",
        "",
    ]


def write(text: str) -> None:
    """Puts the record between the marks of the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
