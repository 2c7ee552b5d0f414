"""Pushes a dataset to the hub: all of its files in one commit, so the hub has it as a whole or not at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import UsageError
from common.hub import check_repo_id, has_token, http_status, hub_errors, make_repository
from common.payloads.artifacts import ARTIFACTS
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

if TYPE_CHECKING:
    from huggingface_hub import CardData, HfApi

LOG: Final = "pipeline.log"
_CONFLICTS: Final = (409, 412)
_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class PushConfig:
    """A config and its files.

    Args:
        card: its `folder` is where the files go on the hub.
        files: split -> its Parquet files, in row order.
    """

    card: CardConfig
    files: Mapping[str, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class PushRequest:
    """Where a dataset goes on the hub, and what is pushed with it.

    Args:
        repo_id: such as `me/quotes`; without an owner, the owner of the token.
        private: for a new repository; an existing public one is refused.
        token: None for that of HF_TOKEN or of a login.
        generate_card: False keeps the text of the card on the hub, if there is one.
        extras: other files, by their path in the repository.
        revision: branch; created if it does not exist.
        create_pr: open a pull request instead of writing to the branch.
    """

    repo_id: str
    private: bool = False
    token: str | None = None
    generate_card: bool = True
    extras: Mapping[str, Path | bytes] = field(default_factory=dict)
    revision: str | None = None
    create_pr: bool = False
    commit_message: str = "Upload dataset"


def check_push(repo_id: str) -> None:
    """Checks before a run whether the push after it can work. Raises UsageError."""
    try:
        check_repo_id(repo_id)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not has_token():
        raise UsageError(f"to push to '{repo_id}', the hub requires a token with write access: export it as HF_TOKEN")


def push(request: PushRequest, facts: CardFacts, configs: Sequence[PushConfig], folder: Path | None = None) -> str:
    """Pushes a dataset to the hub and returns its URL, or that of the pull request.

    Configs of the same names are replaced; other existing configs are kept, and so is anything added to the metadata at
    the top of the card. What the hub already has is not uploaded again.

    Args:
        folder: holds the artifacts, if there are any, in `artifacts/`.

    Raises:
        HubError: it was refused, or the hub cannot be reached; nothing has changed there, except that a new, empty
            repository may exist.
        UsageError: it should be private, and the repository is public.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

    api = HfApi(token=request.token, library_name="penstock")
    with hub_errors(f"the dataset was not pushed to '{request.repo_id}'"):
        name = make_repository(api, request.repo_id, request.private)
        if request.revision is not None and not request.create_pr:
            api.create_branch(name, branch=request.revision, repo_type="dataset", exist_ok=True)
        files = _files(request, facts, configs, folder)

        def commit() -> str:
            info = api.dataset_info(name, revision=request.revision)
            there = [sibling.rfilename for sibling in info.siblings or ()]
            old = _read_card(api, name, str(info.sha)) if CARD in there else ""
            card = _card(request, facts, configs, old, folder, name)
            operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
                CommitOperationAdd(CARD, card.encode()),
                *(CommitOperationAdd(place, content) for place, content in files.items()),
                *(CommitOperationDelete(place) for place in there if place not in files and _is_ours(place, configs)),
            ]
            done = api.create_commit(
                name,
                operations,
                commit_message=request.commit_message,
                repo_type="dataset",
                revision=request.revision,
                create_pr=request.create_pr,
                parent_commit=info.sha,
            )
            return done.pr_url or f"{api.endpoint}/datasets/{name}"

        return _despite_others(commit)


def _despite_others(commit: Callable[[], str]) -> str:
    """Starts over if someone else has committed meanwhile: the card may have changed."""
    for attempt in range(_ATTEMPTS):
        try:
            return commit()
        except Exception as error:
            if http_status(error) not in _CONFLICTS or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(min(0.1 * 2**attempt, 5.0) * (1 + random.random()))
    raise AssertionError("the last attempt returns or raises")


def _files(
    request: PushRequest, facts: CardFacts, configs: Sequence[PushConfig], folder: Path | None
) -> dict[str, Path | bytes]:
    """Everything but the card: path in the repository -> local file."""
    files: dict[str, Path | bytes] = {}
    for config in configs:
        for split, paths in config.files.items():
            for number, path in enumerate(paths):
                files[f"{config.card.folder}/{split}-{number:05d}-of-{len(paths):05d}.parquet"] = path
    if facts.spec:
        files[PIPELINE] = facts.spec.encode()
    if folder is not None:
        for path in sorted((folder / ARTIFACTS).rglob("*")):
            if path.is_file():
                files[path.relative_to(folder).as_posix()] = path
    return {**files, **request.extras}


def _is_ours(place: str, configs: Sequence[PushConfig]) -> bool:
    """Whether this dataset could have written it: then it is from an earlier version, with more files for example."""
    folder, _, name = place.partition("/")
    if folder == ARTIFACTS:
        return True
    return name.endswith(".parquet") and "/" not in name and any(folder == config.card.folder for config in configs)


def _read_card(api: HfApi, repo_id: str, revision: str) -> str:
    path = api.hf_hub_download(repo_id, CARD, repo_type="dataset", revision=revision)
    return Path(path).read_text(encoding="utf-8")


def _card(
    request: PushRequest,
    facts: CardFacts,
    configs: Sequence[PushConfig],
    old: str,
    folder: Path | None,
    repo_id: str,
) -> str:
    from huggingface_hub import DatasetCard

    known = DatasetCard(old or "---\n{}\n---\n", ignore_metadata_errors=True)
    _update_front_matter(known.data, configs)
    if old and not request.generate_card:
        return str(known)
    cards = [config.card for config in configs]
    return write_card(
        replace(facts, name=facts.name or repo_id.rpartition("/")[2]),
        cards,
        front_matter=known.data.to_dict(),  # type: ignore[no-untyped-call]
        load_example=load_dataset_example(repo_id, cards),
        artifacts=artifact_folders(folder) if folder is not None else [],
    )


def _update_front_matter(data: CardData, configs: Sequence[PushConfig]) -> None:
    """Updates the entries of the pushed configs and keeps the rest, such as a license."""
    from datasets.info import DatasetInfosDict

    ours = front_matter([config.card for config in configs])
    names = {config.card.name for config in configs}
    others = [entry for entry in data.get("configs") or [] if entry.get("config_name") not in names]
    if any(entry.get("default") or entry.get("config_name") == "default" for entry in others):
        ours["configs"] = [{key: entry[key] for key in entry if key != "default"} for entry in ours["configs"]]
    data["configs"] = [*others, *ours["configs"]]
    DatasetInfosDict({config.card.name: _dataset_info(config) for config in configs}).to_dataset_card_data(data)
    data["size_categories"] = ours["size_categories"]
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), *ours["tags"]]))


def _dataset_info(config: PushConfig) -> Any:
    """Columns and sizes, in the form that `datasets` records with the files that it pushes."""
    import pyarrow.parquet as pq
    from datasets import DatasetInfo, Features
    from datasets.splits import SplitDict, SplitInfo

    splits = SplitDict()
    for split, files in config.files.items():
        footers = [pq.read_metadata(file) for file in files]
        size = sum(
            footer.row_group(group).total_byte_size for footer in footers for group in range(footer.num_row_groups)
        )
        splits.add(SplitInfo(split, num_bytes=size, num_examples=config.card.rows[split]))
    return DatasetInfo(
        features=Features.from_arrow_schema(config.card.schema),
        splits=splits,
        download_size=sum(file.stat().st_size for files in config.files.values() for file in files),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )
