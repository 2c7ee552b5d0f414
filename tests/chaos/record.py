"""Plays many seeds and writes the results into docs/guarantees.md: `python -m tests.chaos.record --seeds 200`.

A failing seed is reported with everything that is known about it, and the page is not written.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.deaths import Point, all_points, die_at
from tests.chaos.notes import Deaths, Notes, Played
from tests.chaos.scenario import KINDS, draw
from tests.chaos.trial import play

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
    parser.add_argument("--notes", type=Path, help="a file of what is done, from which the next call resumes")
    parser.add_argument("--dry", action="store_true", help="do not write the page")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    with TemporaryDirectory() as folder, ThreadPoolExecutor(asked.jobs) as pool:
        notes = Notes(asked.notes or Path(folder) / "notes")
        list(pool.map(lambda seed: try_seed(seed, notes, asked.keep), [one for one in seeds if one not in notes.seeds]))
        points = all_points(asked.deaths) if asked.deaths else []
        firsts = [first for first in range(0, len(points), DEATHS_OF_A_RUN) if first not in notes.deaths]
        list(pool.map(lambda first: try_points(first, points[first : first + DEATHS_OF_A_RUN], notes), firsts))
    failed = [f"seed {seed}" for seed in seeds if seed not in notes.seeds]
    failed += [f"points from {first}" for first in firsts if first not in notes.deaths]
    if failed:
        print(f"failed: {', '.join(failed)}")
        return 1
    text = report([notes.seeds[seed] for seed in seeds], list(notes.deaths.values()))
    print(text)
    if not asked.dry:
        write(text)
    return 0


def try_seed(seed: int, notes: Notes, keep: Path | None) -> None:
    """Plays the seed; says why if it fails."""
    try:
        trial = play(draw(seed), keep)
    except Exception as error:
        print(f"seed {seed} FAILED", file=sys.stderr)
        traceback.print_exception(error)
        return
    notes.add(Played.of(trial))
    done = ", ".join(trial.injected) or "nothing"
    print(
        f"seed {seed}: {trial.seconds:.0f} s, {trial.scenario.topology}, {done}; exit codes {trial.codes}", flush=True
    )


def try_points(first: int, points: Sequence[Point], notes: Notes) -> None:
    """Has coordinators die at them, one after the other; says why if it fails."""
    try:
        died = die_at(points)
    except Exception as error:
        print(f"points {points} FAILED", file=sys.stderr)
        traceback.print_exception(error)
        return
    notes.add(Deaths(first, len(points), died))
    print(f"{len(points)} points from {points[0]} on: died {died} times", flush=True)


def report(played: Sequence[Played], deaths: Sequence[Deaths]) -> str:
    """The record, in Markdown."""
    times = Counter(kind for one in played for kind in one.faults)
    first, last = played[0].seed, played[-1].seed
    lines = [
        f"{len(played)} runs (seeds {first} to {last}), {times.total()} faults, "
        f"{sum(one.executions for one in played)} executions of the command. Every run ended with the rows, the order, "
        "the failed rows and the exit code of an uninterrupted run.",
        "",
        "| fault | runs with it |",
        "|---|---|",
        *(f"| {kind} | {times[kind]} |" for kind in KINDS),
        f"| none: the moment of each came after the end | {sum(not one.faults for one in played)} |",
        "",
    ]
    if paid := [one.paid for one in played if one.paid is not None]:
        rows, requests, twice = (sum(getattr(one, name) for one in paid) for name in ("rows", "requests", "twice"))
        refused, errors, resets = (sum(getattr(one, name) for one in paid) for name in ("refused", "errors", "resets"))
        lines += [
            f"The endpoint got {requests:,} requests for {rows:,} rows: it refused {refused:,} with 429, answered "
            f"{errors:,} with 500 and reset {resets:,} in the middle of an answer. {twice:,} answers were paid for "
            f"twice (at most {max(one.twice for one in paid)} in a run), where a worker or the endpoint died, or two "
            "workers had the same batch. No row failed because of the endpoint, and the answers in each dataset were "
            "counted as in an uninterrupted run.",
            "",
        ]
    if deaths:
        lines += [
            f"The coordinator was killed at {sum(one.died for one in deaths)} of {sum(one.points for one in deaths)} "
            "points between two effects; an execution that resumes a nearly finished run does not reach the others.",
            "",
        ]
    for kind in ("worker killed", "worker killed with its keeper"):
        leases = [leases for one in played for of, leases in one.takeovers if of == kind]
        if leases:
            lines += [
                f"Time from the death until another worker had the batches, {kind}, {len(leases)} times: median "
                f"{statistics.median(leases):.2f} leases, longest {max(leases):.2f}.",
                "",
            ]
    return "\n".join(lines).rstrip()


def write(text: str) -> None:
    """Puts the record between the marks of the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
