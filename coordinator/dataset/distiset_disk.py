"""Saves a Distiset to a folder, on this host or anywhere fsspec reaches, and loads it again."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import UsageError
from common.payloads.artifacts import ARTIFACTS
from coordinator.dataset.card import CARD, PIPELINE, CardFacts, artifact_folders, front_matter, write_card
from coordinator.dataset.distiset_files import SETTINGS, describe_config
from coordinator.dataset.push import LOG

if TYPE_CHECKING:
    from datasets import DatasetDict

INDEX: Final = "distiset.json"
_SPLITS: Final = "dataset_dict.json"
_LOAD_EXAMPLE: Final = """from coordinator import Distiset

distiset = Distiset.load_from_disk("<the folder above this one>")"""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a Distiset consists of.

    Args:
        log: text of the run's log; None if there is none.
        artifacts: folder with the artifacts; None if there are none.
    """

    configs: Mapping[str, DatasetDict]
    facts: CardFacts
    log: str | None
    artifacts: Path | None


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """How a Distiset is saved; see `Distiset.save_to_disk`."""

    save_card: bool = True
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    max_shard_size: str | int | None = None
    num_proc: int | None = None


def save(content: Content, path: str, options: SaveOptions) -> None:
    """Writes a Distiset, replacing an existing one."""
    filesystem, root = _open(path, options.storage_options)
    cards = [describe_config(name, splits) for name, splits in content.configs.items()]
    old = _read_index(filesystem, root)
    for name, splits in content.configs.items():
        _save_splits(filesystem, f"{root}/{name}", splits, options)
    for name in set(old.get("configs", ())) - set(content.configs):
        filesystem.rm(f"{root}/{name}", recursive=True)
    _save_artifacts(filesystem, root, content.artifacts)
    texts = {PIPELINE: content.facts.spec, LOG: content.log, CARD: None}
    if options.save_card:
        artifacts = artifact_folders(content.artifacts.parent) if content.artifacts else []
        front = front_matter(cards)
        texts[CARD] = write_card(
            content.facts, cards, front_matter=front, load_example=_LOAD_EXAMPLE, artifacts=artifacts
        )
    filesystem.makedirs(f"{root}/{SETTINGS}", exist_ok=True)
    for name, text in texts.items():
        _put_text(filesystem, f"{root}/{SETTINGS}/{name}", text)
    index = {"configs": list(content.configs), "facts": content.facts.dump()}
    _put_text(filesystem, f"{root}/{SETTINGS}/{INDEX}", json.dumps(index, indent=2) + "\n")


def load(
    path: str, *, keep_in_memory: bool | None, storage_options: Mapping[str, Any], download_folder: Path
) -> Content:
    """Reads what `save` wrote, or distilabel's `Distiset.save_to_disk`.

    Args:
        download_folder: where to put artifacts that are not on a file system of this host.

    Raises:
        UsageError: there is no Distiset.
    """
    from datasets import DatasetDict

    filesystem, root = _open(path, storage_options)
    index = _read_index(filesystem, root)
    names = index.get("configs") or sorted(
        str(found).rsplit("/", 2)[-2] for found in filesystem.glob(f"{glob.escape(root)}/*/{_SPLITS}")
    )
    if not names:
        raise UsageError(
            f"{path} holds no Distiset: none of its folders is a DatasetDict. To read the dataset of a run, use "
            "Distiset.from_folder; for a dataset of the hub, use datasets.load_dataset"
        )
    configs = {
        name: DatasetDict.load_from_disk(
            f"{filesystem.unstrip_protocol(root)}/{name}",
            keep_in_memory=keep_in_memory,
            storage_options=dict(storage_options),
        )
        for name in names
    }
    settings = {name: _read_text(filesystem, f"{root}/{SETTINGS}/{name}") for name in (PIPELINE, LOG)}
    facts = CardFacts.from_dump(index.get("facts", {}), settings[PIPELINE] or "")
    return Content(configs, facts, settings[LOG], _load_artifacts(filesystem, root, download_folder))


def _open(path: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    filesystem, root = url_to_fs(path, **storage_options)
    return filesystem, str(root).rstrip("/")


def _is_local(filesystem: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(filesystem, LocalFileSystem)


def _save_splits(filesystem: Any, place: str, splits: DatasetDict, options: SaveOptions) -> None:
    """Like `DatasetDict.save_to_disk`, which writes no file for a split without rows and then cannot load it."""
    filesystem.makedirs(place, exist_ok=True)
    for split, dataset in splits.items():
        dataset.save_to_disk(
            f"{filesystem.unstrip_protocol(place)}/{split}",
            max_shard_size=options.max_shard_size if len(dataset) else None,
            num_shards=None if len(dataset) else 1,
            num_proc=options.num_proc if len(dataset) else None,
            storage_options=dict(options.storage_options),
        )
    _put_text(filesystem, f"{place}/{_SPLITS}", json.dumps({"splits": list(splits)}))


def _read_index(filesystem: Any, root: str) -> dict[str, Any]:
    text = _read_text(filesystem, f"{root}/{SETTINGS}/{INDEX}")
    index: dict[str, Any] = json.loads(text) if text else {}
    return index


def _put_text(filesystem: Any, place: str, text: str | None) -> None:
    """Writes a text, or removes an older one."""
    if text:
        filesystem.pipe_file(place, text.encode())
    elif filesystem.exists(place):
        filesystem.rm_file(place)


def _read_text(filesystem: Any, path: str) -> str | None:
    try:
        return bytes(filesystem.cat_file(path)).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _save_artifacts(filesystem: Any, root: str, artifacts: Path | None) -> None:
    target = f"{root}/{ARTIFACTS}"
    if artifacts is not None and _is_local(filesystem) and artifacts.resolve() == Path(target).resolve():
        return
    if filesystem.exists(target):
        filesystem.rm(target, recursive=True)
    if artifacts is None:
        return
    for file in sorted(artifacts.rglob("*")):
        if file.is_file():
            place = f"{target}/{file.relative_to(artifacts).as_posix()}"
            filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(file), place)


def _load_artifacts(filesystem: Any, root: str, download_folder: Path) -> Path | None:
    source = f"{root}/{ARTIFACTS}"
    if not filesystem.isdir(source):
        return None
    if _is_local(filesystem):
        return Path(source)
    target = download_folder / ARTIFACTS
    for found in filesystem.find(source):
        place = target / str(found).removeprefix(f"{source}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(found, str(place))
    return target
