"""Steps of a user's own that ask models: in batches, for single rows, before there are rows, for all at once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.embeddings import Embeddings
from penstock.llms import LLM
from penstock.steps import AsyncStep, GeneratorStep, GlobalStep, Step, StepInput

Rows = list[dict[str, Any]]


def asked(llm: LLM, prompts: Sequence[str]) -> list[str | None]:
    """One answer to each, all asked for at once."""

    async def all_at_once() -> list[str | None]:
        await llm.aload()
        try:
            answers: Any = await asyncio.gather(
                *(llm.agenerate([{"role": "user", "content": prompt}]) for prompt in prompts)
            )
            return [answer.text for answer in answers]
        finally:
            await llm.aunload()

    return asyncio.run(all_at_once())


class AskTogether(Step):
    """Raises for a batch with an answer `bad`."""

    llm: LLM
    inputs = ["instruction"]
    outputs = ["generation"]

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        answers = asked(self.llm, [row["instruction"] for row in inputs])
        if "bad" in answers:
            raise OSError("bad") if os.environ.get("IS_CONNECTION") else RuntimeError(f"bad: {answers}")
        yield [{**row, "generation": answer} for row, answer in zip(inputs, answers, strict=True)]


class AskInChildren(Step):
    """Asks in forked processes."""

    llm: LLM
    inputs = ["instruction"]
    outputs = ["generation"]

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            answers = pool.starmap(asked, [(self.llm, [row["instruction"]]) for row in inputs])
        yield [{**row, "generation": answer} for row, (answer,) in zip(inputs, answers, strict=True)]


class AskForAll(GlobalStep):
    """Asks for all rows."""

    llm: LLM
    inputs = ["instruction"]
    outputs = ["generation"]

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        answers = asked(self.llm, [row["instruction"] for row in inputs])
        yield [{**row, "generation": answer} for row, answer in zip(inputs, answers, strict=True)]


class AskForRows(GeneratorStep):
    """Makes rows of answers to one prompt."""

    llm: LLM
    rows: int = 10
    outputs = ["instruction", "generation"]

    def process(self, offset: int = 0) -> Iterator[tuple[Rows, bool]]:
        for number in range(offset, self.rows, 2):
            answers = asked(self.llm, ["again"] * 2)
            if "bad" in answers:
                raise RuntimeError("bad")
            yield [{"instruction": "again", "generation": one} for one in answers], number + 2 >= self.rows


class EmbedTogether(Step):
    """The vectors of the rows of a batch."""

    embeddings: Embeddings
    inputs = ["instruction"]
    outputs = ["generation"]

    def process(self, inputs: StepInput) -> Iterator[Rows]:
        vectors = self.embeddings.encode([row["instruction"] for row in inputs])
        yield [{**row, "generation": vector} for row, vector in zip(inputs, vectors, strict=True)]


class EmbedEach(AsyncStep):
    """The vector of each row."""

    embeddings: Embeddings
    inputs = ["instruction"]
    outputs = ["generation"]

    async def aload(self) -> None:
        await self.embeddings.aload()

    async def aunload(self) -> None:
        await self.embeddings.aunload()

    async def process_row(self, row: dict[str, Any]) -> dict[str, Any]:
        [vector] = await self.embeddings.aencode([row["instruction"]])
        return {**row, "generation": vector}
