"""What kept answers cost a call: the event loop's time to look for one and to keep one, with a real file.

    python benchmarks/answers.py [--calls N] [--prompt BYTES] [--reply BYTES] [--kept N] [--runs 5]

Prints the microseconds per call, median of the runs, for calls that find nothing and keep the new answer, for calls
that find an answer of another run and claim it, and for calls that find their own. Nothing is sent. The time of the
thread that commits counts, as it takes the interpreter lock from the event loop. Ends with 1 above the bounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import click
import orjson

from common.llms.answers.answers_file import answers_file
from common.llms.answers.kept import Answers, Place
from common.llms.answers.request_key import Family
from common.llms.answers.row_answers import RowAnswers, question, use_answers
from common.llms.answers.store import AnswerStore

FAMILY = Family("/chat/completions", "model")
WORDS = Path(__file__).read_text().split()
BUDGET = 1 << 40
BOUNDS = {"miss and keep": 60.0, "hit of another run": 200.0, "own hit": 60.0}
"""Microseconds."""


def text(random: Random, size: int) -> str:
    return " ".join(random.choices(WORDS, k=size // 6))[:size]


class Calls:
    def __init__(self, calls: int, prompt: int, reply: int, seed: int = 0) -> None:
        random = Random(seed)
        self.requests = [
            {"model": "model", "messages": [{"role": "user", "content": text(random, prompt)}], "temperature": 0.7}
            for _ in range(calls)
        ]
        self.replies = [
            {
                "id": str(number),
                "model": "model",
                "choices": [
                    {"message": {"role": "assistant", "content": text(random, reply)}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
            for number in range(calls)
        ]

    async def ask(self, store: Answers, run: tuple[str, str], place: int, *, finds: bool) -> None:
        """One call, of the row at a place."""
        use_answers(RowAnswers(store, (*run, "ask", place // 50, place % 50), 0))
        asked = question(FAMILY, self.requests[place])
        assert asked is not None
        found = await asked.find()
        assert (found is not None) == finds
        if found is None:
            asked.keep(orjson.dumps(self.replies[place]))
        else:
            orjson.loads(found.reply)

    async def make(self, store: AnswerStore, *, finds: bool) -> float:
        """Microseconds per call."""
        began = time.perf_counter()
        for place in range(len(self.requests)):
            await self.ask(store, store.run, place, finds=finds)
        return (time.perf_counter() - began) / len(self.requests) * 1e6


@click.command()
@click.option("--calls", default=5_000, show_default=True)
@click.option("--prompt", default=2_000, show_default=True, help="Bytes.")
@click.option("--reply", default=1_000, show_default=True, help="Bytes.")
@click.option("--kept", default=0, show_default=True, help="Answers that are in the file before.")
@click.option("--runs", default=5, show_default=True)
def main(calls: int, prompt: int, reply: int, kept: int, runs: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in BOUNDS}
    size = 0
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            file = answers_file(Path(folder))
            if kept:
                before = AnswerStore(file, "before", "", BUDGET)
                asyncio.run(Calls(kept, prompt, reply, seed=1).make(before, finds=False))
                before.close()
            made = Calls(calls, prompt, reply)
            for name, run, finds in zip(figures, ("one", "two", "two"), (False, True, True), strict=True):
                store = AnswerStore(file, run, "", BUDGET)
                asyncio.run(store.find(b"opens the file", Place(b"none")))
                figures[name].append(asyncio.run(made.make(store, finds=finds)))
                store.close()
            size = file.stat().st_size // (calls + kept)
    for name, found in figures.items():
        print(f"{name}: {statistics.median(found):.0f} us per call ({', '.join(f'{one:.0f}' for one in found)})")
    print(f"{size:,} bytes of the file per answer")
    sys.exit(any(statistics.median(found) > BOUNDS[name] for name, found in figures.items()))


if __name__ == "__main__":
    main()
