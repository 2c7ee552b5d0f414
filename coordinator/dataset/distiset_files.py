"""From the splits of a Distiset to what its card says about them, and to Parquet files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import UsageError
from common.payloads.artifacts import ARTIFACTS
from coordinator.dataset.card import CardConfig

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SETTINGS: Final = "distiset_configs"
"""Folder in a saved Distiset with its card, spec and log; has the same name as in distilabel."""
SHARD_BYTES: Final = 500_000_000
_BATCH_ROWS: Final = 1_000
_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*")


def describe_config(name: str, splits: DatasetDict, folder: str | None = None) -> CardConfig:
    """What the card says about a config.

    Raises:
        UsageError: its name cannot be a folder name, it is not a DatasetDict, or its splits have different columns.
    """
    from datasets import Dataset, DatasetDict

    if not _NAME.fullmatch(name) or name in (ARTIFACTS, SETTINGS):
        raise UsageError(f"config '{name}' cannot be the name of a folder of a Distiset: rename the config")
    if not isinstance(splits, DatasetDict) or not all(isinstance(dataset, Dataset) for dataset in splits.values()):
        raise UsageError(
            f"config '{name}' is a {type(splits).__name__}, not a DatasetDict of Datasets: "
            "write datasets.DatasetDict({'train': rows})"
        )
    if not splits:
        raise UsageError(f"config '{name}' has no split: remove it, or add a split")
    first = next(iter(splits.values()))
    for split, dataset in splits.items():
        if dataset.features != first.features:
            raise UsageError(
                f"config '{name}': split '{split}' has the columns {dataset.column_names}, and the others have "
                f"{first.column_names} or other types: all splits of a config must have the same columns"
            )
    rows = {split: len(dataset) for split, dataset in splits.items()}
    sample = next((_first_row(dataset) for dataset in splits.values() if len(dataset)), None)
    return CardConfig(name, first.features.arrow_schema, rows, sample, folder)


def write_parquet_files(dataset: Dataset, split: str, folder: Path, shard_bytes: int = SHARD_BYTES) -> list[Path]:
    """Writes `<split>-*.parquet` into a folder, including the bytes of images and sounds that are files."""
    dataset = _with_bytes(dataset)
    whole = max(len(dataset.data), 1)
    count = max(1, math.ceil(dataset.data.nbytes * len(dataset) / whole / shard_bytes))
    count = min(count, max(len(dataset), 1))
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
    for number, file in enumerate(files):
        if len(dataset):
            dataset.shard(count, number, contiguous=True).to_parquet(file)
        else:
            _write_empty(dataset, file)
    return files


def _first_row(dataset: Dataset) -> Mapping[str, Any]:
    """The row as it is stored: an image is its bytes."""
    row: Mapping[str, Any] = dataset.with_format("arrow")[:1].to_pylist()[0]
    return row


def _with_bytes(dataset: Dataset) -> Dataset:
    from datasets.features.features import require_decoding
    from datasets.table import embed_table_storage

    if not any(require_decoding(feature, ignore_decode_attribute=True) for feature in dataset.features.values()):
        return dataset
    return dataset.with_format("arrow").map(embed_table_storage, batched=True, batch_size=_BATCH_ROWS)


def _write_empty(dataset: Dataset, file: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(dataset.features.arrow_schema.empty_table(), file)
