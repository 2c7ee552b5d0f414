"""Reads the folder that a run leaves as its dataset: its configs, their files, and its facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from common.errors import UsageError
from coordinator.dataset.card import PIPELINE, CardConfig, CardFacts
from coordinator.dataset.dataset import TRAIN, first_row
from coordinator.dataset.dataset_place import MARKER
from coordinator.dataset.folder_names import file_pattern
from coordinator.dataset.push import PushConfig

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, Features

DEFAULT = "default"
"""Config of the only leaf of a pipeline; if there are several, each config has the name of its step."""


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """The contents of the folder; of the rows, only the first of each leaf has been read."""

    path: Path
    facts: CardFacts
    configs: tuple[PushConfig, ...]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Raises UsageError for a folder that was not made by a run."""
        path = Path(path)
        try:
            marker: dict[str, Any] = json.loads((path / MARKER).read_text(encoding="utf-8"))
            rows: dict[str, int] = marker["rows"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path} is not the dataset of a run: it has no readable {MARKER}. To read the folder of a saved "
                "Distiset, use Distiset.load_from_disk"
            ) from None
        spec = path / PIPELINE
        facts = CardFacts.from_dump(
            {"run_id": marker.get("run", ""), "signature": marker.get("signature", ""), **marker.get("facts", {})},
            spec.read_text(encoding="utf-8") if spec.is_file() else "",
        )
        alone = len(rows) == 1
        return cls(path, facts, tuple(_config(path / leaf, DEFAULT if alone else leaf, rows[leaf]) for leaf in rows))


def _config(folder: Path, name: str, rows: int) -> PushConfig:
    import pyarrow.parquet as pq

    files = sorted(folder.glob(f"{TRAIN}-*.parquet"))
    if not files:
        raise UsageError(f"{folder} has no Parquet file: the dataset is incomplete; rerun its pipeline with --fresh")
    return PushConfig(
        CardConfig(name, pq.read_schema(files[0]), {TRAIN: rows}, first_row(files[0]), name), {TRAIN: files}
    )


def load_splits(config: PushConfig, cache: Path | None, keep_in_memory: bool) -> DatasetDict:
    """A config as a Dataset: its rows are mapped from a file or held in memory.

    Args:
        cache: where that file is written once; None for the cache of `datasets`.
    """
    from datasets import Dataset, DatasetDict, Features, NamedSplit

    splits = DatasetDict()
    for split, files in config.files.items():
        if config.card.rows[split]:
            splits[split] = Dataset.from_parquet(
                [file_pattern(file) for file in files],
                split=NamedSplit(split),
                cache_dir=str(cache) if cache is not None else None,
                keep_in_memory=keep_in_memory,
            )
        else:  # which `from_parquet` refuses
            splits[split] = empty_split(Features.from_arrow_schema(config.card.schema), split)
    return splits


def empty_split(features: Features, split: str) -> Dataset:
    """A Dataset with these columns and no rows."""
    from datasets import Dataset, NamedSplit

    return Dataset(features.arrow_schema.empty_table(), split=NamedSplit(split))
