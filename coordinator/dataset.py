"""The dataset of a complete run: a folder that `datasets.load_dataset` reads, there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import RunError, UsageError
from coordinator.leaf_schema import LeafSchema
from coordinator.part_check import check_digest
from coordinator.parts import Part, sync_folder, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa

MARKER: Final = ".penstock.json"
CARD: Final = "README.md"
_SAMPLE_TEXT: Final = 300
_SAMPLE_ITEMS: Final = 5


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says beside what the data says itself.

    Args:
        spec: the pipeline as YAML text.
        command: makes the dataset again.
        versions: distribution -> version, of what made it.
        failed: step -> its rows that failed; empty when none did.
    """

    name: str
    description: str
    run_id: str
    signature: str
    spec: str
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset on disk: rows by leaf, bytes of its Parquet files."""

    path: Path
    rows: Mapping[str, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    name: str
    schema: pa.Schema
    rows: int
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
) -> DatasetSummary:
    """Makes the dataset of all journaled parts and puts it at `target`, replacing an older one of ours.

    Args:
        folder: where the parts are; they stay there, and share their bytes with the dataset where they can.
        parts: leaf -> its parts, every leaf of the pipeline being named. The first that has rows is loaded by
            default.
        known_columns: leaf -> columns that a leaf without rows gets, all null.

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
        rows = {leaf.name: leaf.rows for leaf in leaves}
        size = sum(file.stat().st_size for leaf in leaves for file in leaf.files)
        _write(fresh / CARD, _card(facts, leaves))
        marker = {"penstock": 1, "run": facts.run_id, "signature": facts.signature, "rows": rows}
        _write(fresh / MARKER, json.dumps(marker, indent=2) + "\n")
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
        leaves = set(json.loads((target / MARKER).read_text())["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return entries[0] if entries else None
    for entry in entries:
        if entry in leaves:
            for file in (target / entry).iterdir():
                if not (file.name.startswith("train-") and file.suffix == ".parquet"):
                    return f"{entry}/{file.name}"
        elif entry not in (CARD, MARKER):
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
    files = [home / f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
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
    return _Leaf(leaf, final, sum(part.rows for part in parts), tuple(files))


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


def _card(facts: CardFacts, leaves: Sequence[_Leaf]) -> str:
    """The README: which files each config has, for `datasets`, and everything else, for people."""
    parts = [
        f"---\n{_configs(leaves)}tags:\n- synthetic\n- penstock\n---\n",
        f"# {facts.name}\n",
        f"{facts.description.strip()}\n" if facts.description.strip() else "",
        "Made with Penstock. Load it from its folder:\n",
        _fenced(_load_example(leaves), "python"),
        *(_leaf_section(leaf) for leaf in leaves),
        _failed_section(facts),
        "## How it was made\n",
        _fenced(facts.command, "bash"),
        f"Run `{facts.run_id}`, signature `{facts.signature}`"
        + "".join(f", {name} {version}" for name, version in facts.versions.items())
        + ". The pipeline:\n",
        _fenced(facts.spec, "yaml"),
    ]
    return "\n".join(part for part in parts if part)


def _configs(leaves: Sequence[_Leaf]) -> str:
    names = [(leaf.name, leaf.name) for leaf in leaves]
    if len(leaves) == 1 and leaves[0].name != "default":
        names.insert(0, ("default", leaves[0].name))
    default = names[0][0] if len(leaves) == 1 else _default(leaves).name
    lines = ["configs:"]
    for name, leaf in names:
        # Quoted: a leaf may be called `on` or `1`, which YAML would not read as text.
        lines += [f'- config_name: "{name}"', *(["  default: true"] if name == default else [])]
        lines += ["  data_files:", "  - split: train", f'    path: "{leaf}/train-*.parquet"']
    return "\n".join(lines) + "\n"


def _default(leaves: Sequence[_Leaf]) -> _Leaf:
    """Not just the first: `datasets` (5.2 too) raises on a split without rows, and `load_dataset(DIR)` should not."""
    return next((leaf for leaf in leaves if leaf.rows), leaves[0])


def _load_example(leaves: Sequence[_Leaf]) -> str:
    others = [leaf.name for leaf in leaves if leaf.rows and leaf != _default(leaves)]
    lines = ["from datasets import load_dataset", "", 'rows = load_dataset("<this folder>", split="train")']
    return "\n".join(lines + [f'rows = load_dataset("<this folder>", "{name}", split="train")' for name in others])


def _leaf_section(leaf: _Leaf) -> str:
    import pyarrow.parquet as pq

    columns = "".join(f"| `{_cell(column.name)}` | {_cell(str(column.type))} |\n" for column in leaf.schema)
    text = f"## {leaf.name}: {leaf.rows:,} rows\n\n| column | type |\n|---|---|\n{columns}"
    if not leaf.rows:
        return f"{text}\nIt has no rows, and `load_dataset` reads a split without rows only with `streaming=True`.\n"
    with pq.ParquetFile(leaf.files[0]) as file:
        sample = next(file.iter_batches(batch_size=1)).to_pylist()[0]
    shown = json.dumps(_shortened(sample), ensure_ascii=False, indent=2)
    return f"{text}\nIts first row{' (shortened)' if _shortened(sample) != sample else ''}:\n\n{_fenced(shown, 'json')}"


def _failed_section(facts: CardFacts) -> str:
    if not facts.failed:
        return ""
    rows = "".join(f"| `{_cell(step)}` | {count:,} |\n" for step, count in facts.failed.items())
    return f"## Rows that failed and are not here\n\n| step | rows |\n|---|---|\n{rows}"


def _shortened(value: Any) -> Any:
    """As JSON can hold it, and short enough to look at."""
    if isinstance(value, str) and len(value) > _SAMPLE_TEXT:
        return value[:_SAMPLE_TEXT] + "..."
    if isinstance(value, list):
        return [_shortened(item) for item in value[:_SAMPLE_ITEMS]] + (["..."] if len(value) > _SAMPLE_ITEMS else [])
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
