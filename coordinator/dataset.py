"""The dataset of a complete run: a folder that `datasets.load_dataset` reads, there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.artifacts import ARTIFACTS, ArtifactStore, collect_artifacts
from common.errors import RunError, UsageError
from coordinator.card import (
    CARD,
    PIPELINE,
    CardConfig,
    CardFacts,
    artifact_folders,
    front_matter,
    load_dataset_example,
    write_card,
)
from coordinator.leaf_schema import LeafSchema
from coordinator.part_check import check_digest
from coordinator.parts import Part, sync_folder, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa

MARKER: Final = ".penstock.json"
TRAIN: Final = "train"
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset on disk: rows by leaf, bytes of its Parquet files."""

    path: Path
    rows: Mapping[str, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    card: CardConfig
    files: tuple[Path, ...]


def check_output(target: Path) -> None:
    """Raises UsageError unless a dataset can be put at `target`: a new or empty folder, or an untouched one of ours."""
    target = target.resolve()
    if target.exists() or target.is_symlink():
        if not target.is_dir():
            raise UsageError(f"--output {target} is a file; give a folder that is new, or empty")
        foreign = _foreign_entry(target)
        if foreign:
            raise UsageError(
                f"--output {target} holds {foreign}, which no run of Penstock wrote, and is therefore not replaced; "
                "give another folder, or move what is in it"
            )
    home = next(folder for folder in target.parents if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"--output {target} cannot be made: {home} is not a folder that this user may write to")


def build_dataset(
    folder: Path,
    parts: Mapping[str, Sequence[Part]],
    target: Path,
    facts: CardFacts,
    known_columns: Mapping[str, Sequence[str]] | None = None,
    artifacts: Sequence[ArtifactStore] = (),
) -> DatasetSummary:
    """Makes the dataset of all journaled parts and puts it at `target`, replacing an older one of ours.

    Args:
        folder: where the parts are; they stay there, and share their bytes with the dataset where they can.
        parts: leaf -> its parts, every leaf of the pipeline being named. The first that has rows is loaded by
            default.
        known_columns: leaf -> columns that a leaf without rows gets, all null.
        artifacts: where steps have put some.

    Raises UsageError (the target is not ours), RunError (a part is missing or changed), OSError (a full disk); the
    target is then as it was.
    """
    check_output(target)
    target = target.resolve()
    fresh, old = (target.with_name(f".{target.name}.penstock-{facts.run_id}.{state}") for state in ("new", "old"))
    if old.exists() and not target.exists():
        old.rename(target)  # an earlier call died between its two renames
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
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
        _put(fresh, target, old)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return DatasetSummary(target, rows, size)


def copy_dataset(source: Path, target: Path) -> None:
    """Puts a finished dataset at another place as well, whole or not at all.

    Raises UsageError (the target is not ours), OSError (a full disk).
    """
    check_output(target)
    target = target.resolve()
    fresh, old = (target.with_name(f".{target.name}.penstock-copy.{state}") for state in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(source, fresh, copy_function=lambda taken, put: link_or_copy(Path(taken), Path(put)))
        sync_folder(fresh)
        _put(fresh, target, old)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def link_or_copy(source: Path, destination: Path) -> None:
    """One file under two names where the file system can do that; a durable copy elsewhere."""
    try:
        os.link(source, destination)
    except OSError:
        with source.open("rb") as read, destination.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            write.flush()
            os.fsync(write.fileno())


def _foreign_entry(target: Path) -> str | None:
    """Something in `target` that we did not put there, relative to it; a dataset of ours may hold a `.git` by now."""
    entries = sorted(entry.name for entry in target.iterdir())
    try:
        marker = json.loads((target / MARKER).read_text())
        leaves, artifacts = set(marker["rows"]), set(marker.get(ARTIFACTS, ()))
    except (OSError, ValueError, KeyError, TypeError):
        return entries[0] if entries else None
    for entry in entries:
        if entry in leaves:
            for file in (target / entry).iterdir():
                if not (file.name.startswith("train-") and file.suffix == ".parquet"):
                    return f"{entry}/{file.name}"
        elif entry == ARTIFACTS:
            found = {path.relative_to(target / entry).as_posix() for path in (target / entry).glob("*/*")}
            if foreign := sorted(found - artifacts):
                return f"{entry}/{foreign[0]}"
        elif entry not in (CARD, MARKER, PIPELINE):
            return entry
    return None


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
    return _Leaf(CardConfig(leaf, final, rows, sample, leaf, digest), tuple(files))


def _content_digest(parts: Sequence[Part], final: pa.Schema) -> str:
    """Differs where rows, their order or their types do."""
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


def _put(fresh: Path, target: Path, old: Path) -> None:
    """A reader sees the old folder, for a moment none, then the new one; never a mixture."""
    check_output(target)
    shutil.rmtree(old, ignore_errors=True)
    replaces = target.exists()
    if replaces:
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError as error:
        if replaces:
            old.rename(target)
        raise RunError(f"the dataset could not be moved to {target}: {error}; run the same command again") from error
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _card(facts: CardFacts, leaves: Sequence[CardConfig], artifacts: Sequence[str]) -> str:
    front = front_matter(leaves)
    if len(leaves) == 1 and leaves[0].name != "default":
        (only,) = front["configs"]
        by_name = {key: value for key, value in only.items() if key != "default"}
        front["configs"] = [{**only, "config_name": "default"}, by_name]
    example = load_dataset_example("<this folder>", leaves)
    return write_card(facts, leaves, front_matter=front, load_example=example, artifacts=artifacts)
