"""Built-in steps in real runs: from data in memory through pairs and conversations to a dataset, and on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from common.building.dump import dump_step
from common.steps import DataSampler, make_generator_step
from tests.support.runs.harness import Harness, harnesses

pytest.importorskip("datasketch")
pytest.importorskip("faiss")

EXAMPLES = [{"example": f"example {number}"} for number in range(10)]


def subject(number: int) -> str:
    """Six words; those of every fifth row are the words of the row before."""
    return " ".join(f"{word}{number - (number % 5 == 4)}" for word in ("how", "large", "is", "the", "moon", "of"))


ROWS: list[dict[str, Any]] = [
    {
        "instruction": f"{subject(number)} planet {number}",
        "generations": [f"first {number}", f"second {number}"],
        "ratings": [number % 3, 1] if number != 70 else [None, 1],
        "generation_models": ["small", "large"],
    }
    for number in range(120)
]
STEPS: dict[str, Any] = {
    "examples": {"type": "DataSampler", "data": EXAMPLES, "samples": 120, "batch_size": 13},
    "both": {"type": "CombineOutputs", "after": ["load", "examples"], "input_batch_size": 7},
    "cut": {
        "type": "TruncateTextColumn",
        "after": "both",
        "column": "instruction",
        "max_length": 6,
        "tokenizer": "words",
        "resources": {"replicas": 2},
    },
    "merge": {"type": "MergeColumns", "after": "cut", "columns": ["example", "generation_models"]},
    "dedup": {"type": "MinHashDedup", "after": "merge", "input_mappings": {"text": "instruction"}},
    "pairs": {"type": "FormatTextGenerationDPO", "after": "dedup", "retries": 0, "input_batch_size": 9},
    "answers": {"type": "ExpandColumns", "after": "dedup", "columns": {"generations": "generation"}},
    "sft": {"type": "FormatTextGenerationSFT", "after": "answers"},
    "embed": {
        "type": "GenerateEmbeddings",
        "after": "load",
        "llm": {"type": "EchoEmbeddings", "dimensions": 256},
        "input_mappings": {"text": "instruction"},
    },
    "near": {"type": "FaissNearestNeighbour", "after": "embed", "k": 3},
    "unique": {"type": "EmbeddingDedup", "after": "near", "threshold": 0.7},
    "chat": {"type": "FormatChatGenerationSFT", "after": "sft", "output_mappings": {"messages": "longer"}},
}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def spec(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(harness.folder / "cache"))
    load = make_generator_step(Dataset.from_list(ROWS), name="load", batch_size=11)
    return harness.write_spec(json.dumps({"name": "pairs", "steps": {"load": dump_step(load), **STEPS}}))


def test_steps_that_format_and_filter_make_one_dataset_that_another_run_loads(harness: Harness, spec: Path) -> None:
    code, text = harness.run(spec)
    assert code == 3, text  # the row without two ratings
    (letter,) = harness.letters()
    assert (letter.step, letter.row and letter.row["ratings"]) == ("pairs", [None, 1])
    assert "a pair needs two generations with a rating, but the row has 1" in letter.error

    drawn = [row for rows, _ in DataSampler(data=EXAMPLES, samples=120).process() for row in rows]
    pairs = harness.rows("pairs")
    numbers = [number for number in range(120) if number != 70]
    assert [row["keep_row_after_minhash_filtering"] for row in pairs] == [number % 5 != 4 for number in numbers]
    for number, row in zip(numbers, pairs, strict=True):
        best = 0 if number % 3 >= 1 else 1
        assert row["merged_column"] == [*drawn[number]["example"], "small", "large"]
        assert row["prompt"] == row["instruction"] == subject(number)
        assert [turn["content"] for turn in row["chosen"]] == [subject(number), ROWS[number]["generations"][best]]
        assert [turn["role"] for turn in row["rejected"]] == ["user", "assistant"]
        assert (row["chosen_rating"], row["rejected_rating"]) == tuple(sorted(row["ratings"], reverse=True))
        assert "chosen_model" not in row

    chats = harness.rows("chat")
    assert len(chats) == 240
    assert [turn["content"] for turn in chats[3]["longer"]] == [subject(1), "second 1", "second 1"]

    unique = harness.rows("unique")
    assert [row["duplicate_of"] for row in unique] == [
        number - 1 if number % 5 == 4 else None for number in range(len(ROWS))
    ]
    assert all(len(row["nn_indices"]) == len(row["nn_scores"]) == 3 for row in unique)

    again = harness.write_spec(
        json.dumps(
            {
                "name": "again",
                "steps": {
                    "load": {
                        "type": "LoadDataFromDisk",
                        "dataset_path": str(harness.run_directory / "dataset"),
                        "config": "pairs",
                        "num_examples": 50,
                    },
                    "keep": {"type": "KeepColumns", "after": "load", "columns": list(pairs[0])},
                },
            }
        ),
        "again.yaml",
    )
    output = harness.folder / "again"
    code, text = harness.run(again, "--output", output)
    assert code == 0, text
    assert harness.rows(dataset=output) == pairs[:50]


def test_validate_and_info_know_their_columns(harness: Harness, spec: Path) -> None:
    for command in ("validate", "info"):
        started = harness.start("pipeline-coordinator", command, spec)
        assert started.wait() == 0, started.text
    assert "keep_row_after_minhash_filtering" in started.text
    wrong = json.loads(spec.read_text())
    wrong["steps"]["merge"]["columns"] = ["example", "generations"]
    spec.write_text(json.dumps(wrong))
    started = harness.start("pipeline-coordinator", "validate", spec)
    assert started.wait() == 2
    assert "needs column 'generations', which step 'merge' drops; let 'merge' keep it" in " ".join(started.text.split())
