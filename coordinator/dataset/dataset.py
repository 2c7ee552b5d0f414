"""The dataset of a complete run: a folder that `datasets.load_dataset` reads, present as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.payloads.artifacts import ARTIFACTS, ArtifactStore, collect_artifacts
from common.payloads.durable import sync_file, sync_folder
from coordinator.dataset.card import (
    CARD,
    PIPELINE,
    CardConfig,
    CardFacts,
    artifact_folders,
    front_matter,
    load_dataset_example,
    write_card,
)
from coordinator.dataset.dataset_place import MARKER, DatasetPlace
from coordinator.dataset.leaf_schema import LeafSchema
from coordinator.dataset.part_check import check_digest
from coordinator.dataset.parts import Part, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN: Final = "train"
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset on disk: rows by leaf, bytes of its Parquet files.

    Args:
        keyless: leaf -> paths of the dicts that are null because none has a key; see `LeafSchema.keyless`.
    """

    path: Path
    rows: Mapping[str, int]
    bytes: int
    keyless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Leaf:
    card: CardConfig
    files: tuple[Path, ...]
    keyless: tuple[str, ...]


def build_dataset(
    folder: Path,
    parts: Mapping[str, Sequence[Part]],
    target: Path,
    facts: CardFacts,
    known_columns: Mapping[str, Sequence[str]] | None = None,
    artifacts: Sequence[ArtifactStore] = (),
) -> DatasetSummary:
    """Builds the dataset from all journaled parts and puts it at `target`, replacing an older one of the pipeline.

    Args:
        folder: where the parts are; they stay there, and share their bytes with the dataset where possible.
        target: a place that no one else writes to, such as one in the run directory.
        parts: leaf -> its parts, for every leaf of the pipeline. The first leaf with rows is loaded by default.
        known_columns: leaf -> the columns, all null, that a leaf without rows gets.
        artifacts: where steps have put artifacts.

    Raises UsageError (the target is not a dataset of Penstock), RunError (a part is missing or changed) or OSError (a
    full disk), and then leaves the target unchanged.
    """
    place = DatasetPlace(target, facts.name, shared=False)
    with place.fill() as fresh:
        leaves = [
            _build_leaf(
                folder, leaf, sorted(of_leaf, key=lambda part: part.first_seq), fresh / leaf, known_columns or {}
            )
            for leaf, of_leaf in parts.items()
        ]
        rows = {leaf.card.name: leaf.card.total for leaf in leaves}
        size = sum(file.stat().st_size for leaf in leaves for file in leaf.files)
        kept = collect_artifacts(artifacts, fresh / ARTIFACTS)
        _write(fresh / PIPELINE, facts.spec)
        _write(fresh / CARD, _card(facts, [leaf.card for leaf in leaves], artifact_folders(fresh)))
        marker = {"penstock": 1, "run": facts.run_id, "signature": facts.signature, "rows": rows, "facts": facts.dump()}
        _write(fresh / MARKER, json.dumps({**marker, ARTIFACTS: kept}, indent=2) + "\n")
        sync_folder(fresh)
    keyless = {leaf.card.name: leaf.keyless for leaf in leaves if leaf.keyless}
    return DatasetSummary(target.resolve(), rows, size, keyless)


def copy_dataset(source: Path, place: DatasetPlace, tell: Callable[[str], None] = lambda _: None) -> None:
    """Also puts a finished dataset at another place, as a whole or not at all.

    Args:
        tell: is told whom this call waits for, if other runs write there too.

    Raises UsageError (the place is not a dataset of Penstock), RunError (another run is writing there) or OSError (a
    full disk).
    """
    with place.fill(tell) as fresh:
        shutil.copytree(
            source, fresh, dirs_exist_ok=True, copy_function=lambda taken, put: link_or_copy(Path(taken), Path(put))
        )
        for folder, _, _ in os.walk(fresh):
            sync_folder(Path(folder))


def link_or_copy(source: Path, destination: Path) -> None:
    """One file under two names if the file system supports that; otherwise a durable copy."""
    try:
        os.link(source, destination)
    except OSError:
        with source.open("rb") as read, destination.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            sync_file(write)


def _build_leaf(
    folder: Path, leaf: str, parts: Sequence[Part], home: Path, known_columns: Mapping[str, Sequence[str]]
) -> _Leaf:
    schema = LeafSchema.from_bytes(parts[-1].schema) if parts else LeafSchema()
    with_rows = [part for part in parts if part.rows]
    if not with_rows:
        schema = LeafSchema.of_names(known_columns.get(leaf, ()))
    final = schema.arrow(final=True)
    home.mkdir()
    count = max(len(with_rows), 1)
    digest = _content_digest(with_rows, final)
    files = [home / f"train-{number:05d}-of-{count:05d}-{digest}.parquet" for number in range(count)]
    for part, file in zip(with_rows, files, strict=False):
        check_digest(folder, part)
        own = LeafSchema.from_bytes(part.schema)
        if own.arrow() == final:
            link_or_copy(folder / part.name, file)
        else:
            _rewrite(folder / part.name, own, schema, file)
    if not with_rows:
        write_parquet(final.empty_table(), files[0])
    sync_folder(home)
    rows = {TRAIN: sum(part.rows for part in parts)}
    sample = first_row(files[0]) if with_rows else None
    return _Leaf(CardConfig(leaf, final, rows, sample, leaf, digest), tuple(files), schema.keyless)


def _content_digest(parts: Sequence[Part], final: pa.Schema) -> str:
    """A digest that differs if rows, their order or their types differ."""
    content = hashlib.sha256(final.serialize())
    for part in parts:
        content.update(part.digest.encode())
    return content.hexdigest()[:_DIGEST_LENGTH]


def first_row(file: Path) -> dict[str, Any] | None:
    """The first row of a Parquet file; None if it has none."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        row: dict[str, Any] | None = next((row for batch in opened.iter_batches(1) for row in batch.to_pylist()), None)
    return row


def _rewrite(source: Path, own: LeafSchema, schema: LeafSchema, destination: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        table = file.read()
    write_parquet(schema.final_table(table, own), destination)


def _write(path: Path, text: str) -> None:
    with path.open("wb") as file:
        file.write(text.encode())
        sync_file(file)


def _card(facts: CardFacts, leaves: Sequence[CardConfig], artifacts: Sequence[str]) -> str:
    front = front_matter(leaves)
    if len(leaves) == 1 and leaves[0].name != "default":
        (only,) = front["configs"]
        by_name = {key: value for key, value in only.items() if key != "default"}
        front["configs"] = [{**only, "config_name": "default"}, by_name]
    example = load_dataset_example("<this folder>", leaves)
    return write_card(facts, leaves, front_matter=front, load_example=example, artifacts=artifacts)
