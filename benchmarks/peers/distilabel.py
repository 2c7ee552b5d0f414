"""distilabel asks the server: LoadDataFromDicts and TextGeneration, whose input batch is what it asks at once."""

from __future__ import annotations

import os
import sys

# A line for each request, which newer versions of the openai client log, would slow it down.
os.environ["DISTILABEL_LOG_LEVEL"] = "WARNING"

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(url: str, rows: int, concurrency: int) -> None:
    """Keeps nothing of the run."""
    with Pipeline(name="bench", cache_dir="cache") as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": f"Say something about row {number}"} for number in range(rows)],
            batch_size=concurrency,
        )
        ask = TextGeneration(llm=OpenAILLM(model="bench", base_url=url, api_key="none"), input_batch_size=concurrency)
        load >> ask
    found = len(pipeline.run(use_cache=False)["default"]["train"])
    assert found == rows, f"{found} rows of {rows}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
