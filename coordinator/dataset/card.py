"""The card of a dataset: a README that starts with what `datasets` needs to know; the rest is for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel

from common.building.components import components
from common.llms.price_table import AS_OF
from common.payloads.artifacts import ARTIFACTS
from common.words.printable import quoted
from coordinator.dataset.markdown import code, fenced, inline, paragraphs

if TYPE_CHECKING:
    import pyarrow as pa

CARD: Final = "README.md"
PIPELINE: Final = "pipeline.yaml"
TAGS: Final = ("synthetic", "penstock")
_SAMPLE_TEXT: Final = 300
_SAMPLE_ITEMS: Final = 5
_SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says besides what the data itself shows; nothing for a dataset that was not made by a run.

    Args:
        spec: the pipeline as YAML text.
        command: remakes the dataset.
        versions: distribution -> version of the software that made it.
        failed: step -> number of its failed rows; empty if none failed.
        skipped: step -> number of rows that passed it by; empty if none did.
        citations: BibTeX entries of what was used.
        models: what the answers in the dataset took, as texts; see `Bill.rows`.
        cost: of all of them.
    """

    name: str = ""
    description: str = ""
    run_id: str = ""
    signature: str = ""
    spec: str = ""
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    citations: tuple[str, ...] = ()
    models: tuple[tuple[str, ...], ...] = ()
    cost: str = ""

    def dump(self) -> dict[str, Any]:
        """Plain data, without the spec, which is a separate file."""
        return {name: value for name, value in asdict(self).items() if name != "spec"}

    @classmethod
    def from_dump(cls, data: Mapping[str, Any], spec: str) -> Self:
        """The inverse of `dump`; extra keys from another version are ignored."""
        known = {fact.name: data[fact.name] for fact in fields(cls) if fact.name in data}
        models = tuple(tuple(map(str, row)) for row in data.get("models", ()))
        return cls(**{**known, "citations": tuple(data.get("citations", ())), "models": models, "spec": spec})


@dataclass(frozen=True, slots=True)
class CardConfig:
    """A config of the dataset as the card shows it.

    Args:
        folder: folder of its Parquet files, `<split>-*.parquet`, relative to the card; None if there are none.
        rows: split -> number of rows.
        sample: its first row; None if it has no rows.
        digest: digest of the content, at the end of its file names; empty if the names have none.
    """

    name: str
    schema: pa.Schema
    rows: Mapping[str, int]
    sample: Mapping[str, Any] | None
    folder: str | None = None
    digest: str = ""

    @property
    def total(self) -> int:
        """Rows of all splits."""
        return sum(self.rows.values())


def write_card(
    facts: CardFacts,
    configs: Sequence[CardConfig],
    *,
    front_matter: Mapping[str, Any],
    load_example: str,
    artifacts: Sequence[str] = (),
) -> str:
    """The full text of the card.

    Args:
        front_matter: see `front_matter`.
        load_example: Python code that reads the dataset.
        artifacts: artifact folders, relative to the card.
    """
    parts = [
        f"---\n{_yaml(front_matter)}---\n",
        *_text(facts, configs, load_example, artifacts),
    ]
    return "\n".join(part for part in parts if part)


def front_matter(configs: Sequence[CardConfig]) -> dict[str, Any]:
    """What `datasets` and the hub read: the files of each config and split, the number of rows, and tags."""
    found: dict[str, Any] = {}
    if listed := [_files(config, configs) for config in configs if config.folder is not None]:
        found["configs"] = listed
    return {**found, "size_categories": [size_category(sum(config.total for config in configs))], "tags": list(TAGS)}


def artifact_folders(folder: Path) -> list[str]:
    """The artifacts below the folder of a dataset, `artifacts/<step>/<name>` each."""
    return sorted(path.relative_to(folder).as_posix() for path in (folder / ARTIFACTS).glob("*/*"))


def default_config(configs: Sequence[CardConfig]) -> CardConfig:
    """Not just the first: `datasets` (5.2 too) raises on a split without rows, and `load_dataset(DIR)` should not."""
    return next((config for config in configs if config.rows.get("train")), configs[0])


def load_dataset_example(place: str, configs: Sequence[CardConfig]) -> str:
    """Python code that reads the first split of each config that has rows, the default config first."""
    lines = ["from datasets import load_dataset", ""]
    default = default_config(configs)
    for config in [default, *(config for config in configs if config is not default and config.total)]:
        split = next(iter(config.rows))
        named = "" if config is default else f", {quoted(config.name)}"
        lines.append(f"rows = load_dataset({quoted(place)}{named}, split={quoted(split)})")
    return "\n".join(lines)


def size_category(rows: int) -> str:
    """In the hub's notation, such as `1K<n<10K`."""
    if rows < 1_000:
        return "n<1K"
    power = len(str(rows)) - 4
    return f"{_SIZES[power]}<n<{_SIZES[power + 1]}" if power + 1 < len(_SIZES) else f"n>{_SIZES[-1]}"


def collect_citations(models: Iterable[BaseModel]) -> tuple[str, ...]:
    """The BibTeX entries of steps and of the models in their fields, such as an LLM, each once."""
    found: dict[str, None] = {}
    for model in models:
        for _, part in components(model):
            found.update({entry.strip(): None for entry in getattr(type(part), "citations", ())})
    return tuple(found)


def _files(config: CardConfig, configs: Sequence[CardConfig]) -> dict[str, Any]:
    # `datasets` looks up its cache by folder name and these patterns, so they must identify the content.
    end = f"-{config.digest}" if config.digest else ""
    files = [{"split": split, "path": f"{config.folder}/{split}-*{end}.parquet"} for split in config.rows]
    default = {"default": True} if config is default_config(configs) else {}
    return {"config_name": config.name, **default, "data_files": files}


def _yaml(data: Mapping[str, Any]) -> str:
    from huggingface_hub import DatasetCardData

    # Written by the hub's own writer: it quotes a config named `on` or `1`, which its reader would not read as text.
    return f"{DatasetCardData(**data).to_yaml()}\n"


def _text(
    facts: CardFacts, configs: Sequence[CardConfig], load_example: str, artifacts: Sequence[str]
) -> Iterator[str]:
    yield f"# {inline(facts.name) or 'Dataset'}\n"
    if facts.description.strip():
        yield f"{paragraphs(facts.description)}\n"
    yield "Made with Penstock. Load it:\n"
    yield fenced(load_example, "python")
    for config in configs:
        yield _config_section(config)
    yield from _artifacts_section(artifacts)
    yield from _failed_section(facts)
    yield from _skipped_section(facts)
    yield from _models_section(facts)
    yield from _origin_section(facts)
    if facts.citations:
        yield "## Citations\n"
        yield fenced("\n\n".join(facts.citations), "bibtex")


def _config_section(config: CardConfig) -> str:
    columns = "".join(f"| {code(column.name)} | {inline(str(column.type))} |\n" for column in config.schema)
    splits = ", ".join(f"{inline(split)}: {rows:,}" for split, rows in config.rows.items())
    title = f"## {inline(config.name)}: {config.total:,} rows{f' ({splits})' if len(config.rows) > 1 else ''}"
    text = f"{title}\n\n| column | type |\n|---|---|\n{columns}"
    if config.sample is None:
        return f"{text}\nIt has no rows, and `load_dataset` reads a split without rows only with `streaming=True`.\n"
    short = _shortened(config.sample)
    shown = json.dumps(short, ensure_ascii=False, indent=2)
    return f"{text}\nIts first row{' (shortened)' if short != config.sample else ''}:\n\n{fenced(shown, 'json')}"


def _artifacts_section(artifacts: Sequence[str]) -> Iterator[str]:
    if artifacts:
        yield "## Artifacts\n"
        yield "".join(f"- {code(folder)}\n" for folder in artifacts)


def _failed_section(facts: CardFacts) -> Iterator[str]:
    if facts.failed:
        yield f"## Rows that failed and are not here\n\n{_counted(facts.failed)}"


def _skipped_section(facts: CardFacts) -> Iterator[str]:
    if facts.skipped:
        yield f"## Rows that passed a step by, as its `skip_when` says\n\n{_counted(facts.skipped)}"


def _counted(rows: Mapping[str, int]) -> str:
    return "| step | rows |\n|---|---|\n" + "".join(f"| {code(step)} | {count:,} |\n" for step, count in rows.items())


def _models_section(facts: CardFacts) -> Iterator[str]:
    if facts.models:
        rows = "".join(f"| {' | '.join([*map(code, row[:2]), *map(inline, row[2:])])} |\n" for row in facts.models)
        head = "| step | model | answers | tokens in | cached | tokens out | reasoning | cost |\n"
        total = f"\nAll together: {inline(facts.cost)} (list prices of {AS_OF}, or those of the pipeline).\n"
        yield f"## What its answers took\n\n{head}|---|---|---|---|---|---|---|---|\n{rows}{total}"


def _origin_section(facts: CardFacts) -> Iterator[str]:
    if not facts.spec:
        return
    yield "## How it was made\n"
    if facts.command:
        yield fenced(facts.command, "bash")
    versions = "".join(f", {inline(name)} {inline(version)}" for name, version in facts.versions.items())
    yield f"Run {code(facts.run_id)}, signature {code(facts.signature)}{versions}. The pipeline, `{PIPELINE}`:\n"
    yield fenced(facts.spec, "yaml")


def _shortened(value: Any) -> Any:
    """In a form that JSON can hold, and short enough to read."""
    if isinstance(value, str) and len(value) > _SAMPLE_TEXT:
        return value[:_SAMPLE_TEXT] + "..."
    if isinstance(value, list):
        return [_shortened(item) for item in value[:_SAMPLE_ITEMS]] + (["..."] if len(value) > _SAMPLE_ITEMS else [])
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
