"""The content of a saved dataset's folder: its configs, their splits, the files of each.

Supported are a `Dataset` or `DatasetDict` from `save_to_disk`, a folder of Parquet files named
`<split>-00000-of-00001`, and a folder of several of these, each of them a config: the dataset of a run, or a saved
`Distiset`.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from common.errors import BadData, UsageError
from common.steps.loading.file_sources import FileSource
from common.words.faults import hint

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>-[0-9a-f]{16})?\.parquet")
_DEFAULT = "default"

Splits = Mapping[str, str]
"""Split -> its `Dataset` folder, or the folder of Parquet files that it shares with other splits."""


def find_split(
    path: str, config: str | None, split: str | None, storage_options: Mapping[str, Any]
) -> list[FileSource]:
    """The files of one split, in order; they may be empty of rows.

    Args:
        path: folder or fsspec URL.
        config: None for the only one, or the one named `default`.
        split: None for the only one.

    Raises:
        UsageError: no such folder, config or split, or several to choose from; names them.
        RunError: the folder is damaged: a file that it names is missing.
    """
    from fsspec.core import url_to_fs

    filesystem, folder = url_to_fs(os.path.expanduser(path), **storage_options)
    folder = folder.rstrip("/")
    if not filesystem.isdir(folder):
        raise UsageError(
            f"there is no folder '{path}' on host {socket.gethostname()}; name the folder of a saved dataset (a "
            "relative path starts at the folder of the spec, or at the --base-dir of a worker)"
        )
    splits = _splits(filesystem, folder)
    if splits is None:
        splits = _of_config(filesystem, folder, path, config)
    elif config is not None:
        raise UsageError(f"'{path}' has no configs, so there is no '{config}' in it; omit config")
    name = _chosen(split, list(splits), "split", path)
    return _files(filesystem, splits[name], name)


def _of_config(filesystem: AbstractFileSystem, folder: str, path: str, config: str | None) -> Splits:
    configs = {}
    for inner in sorted(filesystem.ls(folder, detail=False)):
        if filesystem.isdir(inner) and (splits := _splits(filesystem, inner.rstrip("/"))) is not None:
            configs[PurePosixPath(inner).name] = splits
    if not configs:
        raise UsageError(
            f"'{path}' is not a dataset: neither it nor a folder in it was written by save_to_disk or by a run"
        )
    if config is None and _DEFAULT in configs:
        config = _DEFAULT
    return configs[_chosen(config, list(configs), "config", path)]


def _chosen(name: str | None, names: Sequence[str], what: str, path: str) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise UsageError(f"'{path}' has several {what}s; choose one with {what}: {', '.join(names)}")
    if name not in names:
        raise UsageError(f"'{path}' has no {what} '{name}'{hint(name, names, f'it has the {what}s')}")
    return name


def _splits(filesystem: AbstractFileSystem, folder: str) -> Splits | None:
    """None for a folder that is not a dataset."""
    if filesystem.isfile(f"{folder}/dataset_dict.json"):
        return {name: f"{folder}/{name}" for name in _json(filesystem, f"{folder}/dataset_dict.json")["splits"]}
    if filesystem.isfile(f"{folder}/state.json"):
        return {_json(filesystem, f"{folder}/state.json").get("_split") or "train": folder}
    shards = filter(None, map(_SHARD.fullmatch, _names(filesystem, folder)))
    return dict.fromkeys((shard["split"] for shard in shards), folder) or None


def _files(filesystem: AbstractFileSystem, folder: str, split: str) -> list[FileSource]:
    names = _names(filesystem, folder)
    if "state.json" in names:
        listed = [entry["filename"] for entry in _json(filesystem, f"{folder}/state.json")["_data_files"]]
    else:
        shards = [shard for name in names if (shard := _SHARD.fullmatch(name)) and shard["split"] == split]
        count, end = max((int(shard["count"]), shard["end"] or "") for shard in shards)
        listed = [f"{split}-{number:05d}-of-{count:05d}{end}.parquet" for number in range(count)]
    for name in listed:
        if name not in names:
            raise BadData(f"the dataset in {folder} is damaged: the file {name} is missing; copy the folder again")
    return [FileSource(filesystem, f"{folder}/{name}") for name in listed]


def _names(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    return sorted(PurePosixPath(path).name for path in filesystem.ls(folder, detail=False))


def _json(filesystem: AbstractFileSystem, path: str) -> dict[str, Any]:
    try:
        found = json.loads(filesystem.cat_file(path))
    except ValueError as error:
        raise BadData(f"{path} is not JSON ({error}); the dataset is damaged, save it again") from None
    return dict(found)
