"""Distiset: the dataset of a run as a Python program has it, one DatasetDict per leaf."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from common.errors import UsageError
from common.payloads.artifacts import ARTIFACTS
from common.words.wording import count
from coordinator.dataset import distiset_disk
from coordinator.dataset.card import CardFacts
from coordinator.dataset.dataset import TRAIN
from coordinator.dataset.dataset_folder import DatasetFolder, empty_split, load_splits
from coordinator.dataset.distiset_files import SHARD_BYTES, describe_config, write_parquet_files
from coordinator.dataset.push import LOG, PushConfig, PushRequest, push
from coordinator.runs.run_directory import RECORD

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

ARROW = "arrow"
"""Folder of a run directory: the rows once more, in the format that can be mapped into memory."""


class Distiset(dict[str, "DatasetDict"]):
    """The rows of each leaf step of a pipeline, as a config of its own; with one leaf, the config is `default`.

    Example:
        >>> distiset = pipeline.run()
        >>> distiset["default"]["train"][0]
        >>> distiset.train_test_split(train_size=0.9, seed=7).push_to_hub("me/quotes", private=True)

    Args:
        configs: config -> its splits.
        facts: what the card says of the run that made it.
        log: the text of the run's log, or the file that holds it.
        artifacts: folder with what steps saved beside their rows, as `<step>/<name>/`.
    """

    def __init__(
        self,
        configs: Mapping[str, DatasetDict] | None = None,
        *,
        facts: CardFacts | None = None,
        log: str | Path | None = None,
        artifacts: Path | None = None,
    ) -> None:
        super().__init__(configs or {})
        self.facts = facts or CardFacts()
        self.failed: dict[str, int] = dict(self.facts.failed)
        """Step -> its rows that failed, which are not here."""
        self._log = log
        self._artifacts = artifacts
        self._files: dict[tuple[str, str], tuple[Dataset, Sequence[Path]]] = {}

    @classmethod
    def from_folder(cls, path: str | Path, *, run_directory: Path | None = None, keep_in_memory: bool = False) -> Self:
        """The dataset that a run has left. Its rows stay on disk, where they are mapped into memory.

        Args:
            path: the folder: `dataset` in a run directory, or where `--output` put it.
            run_directory: where the log is; found by itself if `path` is in it.
            keep_in_memory: read everything now, so that the folder may go.

        Raises:
            UsageError: no run has made this folder.
        """
        folder = DatasetFolder.read(path)
        home = run_directory
        if home is None and (folder.path.absolute().parent / RECORD).is_file():
            home = folder.path.absolute().parent
        distiset = cls(facts=folder.facts, log=home / LOG if home else None, artifacts=folder.path / ARTIFACTS)
        if keep_in_memory:
            distiset._log = distiset.log
        with tempfile.TemporaryDirectory(prefix="penstock-arrow-") as scratch:
            cache = Path(scratch) if keep_in_memory else home / ARROW if home else None
            for config in folder.configs:
                name = config.card.name
                distiset[name] = load_splits(config, cache, keep_in_memory)
                if not keep_in_memory:
                    distiset._files |= {
                        (name, split): (distiset[name][split], config.files[split]) for split in config.files
                    }
        return distiset

    # what the run has left beside its rows

    @property
    def pipeline(self) -> dict[str, Any] | None:
        """The pipeline as plain data, which `Pipeline.from_dict` reads; None if no run made this."""
        if not self.facts.spec:
            return None
        from ruamel.yaml import YAML

        found: dict[str, Any] = YAML(typ="safe", pure=True).load(self.facts.spec)
        return found

    @property
    def log(self) -> str | None:
        """The log of the run; None if it has none, or if its run directory was removed."""
        if not isinstance(self._log, Path):
            return self._log
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    @property
    def artifacts(self) -> Path | None:
        """The folder with what steps saved by `save_artifact`, as `<step>/<name>/`; None if there is nothing."""
        return self._artifacts if self._artifacts is not None and self._artifacts.is_dir() else None

    @property
    def citations(self) -> list[str]:
        """BibTeX entries of the steps and models that made it."""
        return list(self.facts.citations)

    # what can be done with the rows

    def train_test_split(self, train_size: float, shuffle: bool = True, seed: int | None = None) -> Self:
        """Splits the rows of each config into `train` and `test`; a config without rows gets two empty ones.

        Args:
            train_size: share of the rows that stay in `train`, between 0 and 1.
            seed: of the shuffle; the same one gives the same split.

        Returns:
            This Distiset.

        Raises:
            UsageError: a config has other splits than `train` already, or too few rows; nothing was split.
        """
        if not 0 < train_size < 1:
            raise UsageError(
                f"train_size={train_size} is not a share of the rows; give one between 0 and 1, such as 0.9"
            )
        from datasets import DatasetDict

        split: dict[str, DatasetDict] = {}
        for name, splits in self.items():
            if list(splits) != [TRAIN]:
                raise UsageError(
                    f"config '{name}' has the splits {', '.join(splits)}; only one that has just train is split"
                )
            rows = splits[TRAIN]
            if not len(rows):
                split[name] = DatasetDict({TRAIN: rows, "test": empty_split(rows.features, "test")})
                continue
            if not 0 < int(len(rows) * train_size) < len(rows):
                raise UsageError(f"config '{name}' has {len(rows)} rows, too few to split them at {train_size}")
            split[name] = rows.train_test_split(train_size=train_size, shuffle=shuffle, seed=seed)
        self.update(split)
        return self

    def save_to_disk(
        self,
        path: str | Path,
        save_card: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        *,
        max_shard_size: str | int | None = None,
        num_proc: int | None = None,
    ) -> None:
        """Saves everything in a folder that `load_from_disk` reads; a Distiset that is there is replaced.

        Args:
            path: a folder, or a URL of one that fsspec knows.
            storage_options: of that file system.
            max_shard_size: of each file, such as "1GB".
            num_proc: processes that write.

        Raises:
            UsageError: a config's name cannot be that of a folder, or its splits have other columns.
        """
        content = distiset_disk.Content(self, self._facts_now, self.log, self.artifacts)
        options = distiset_disk.SaveOptions(save_card, storage_options or {}, max_shard_size, num_proc)
        distiset_disk.save(content, str(path), options)

    @classmethod
    def load_from_disk(
        cls,
        path: str | Path,
        keep_in_memory: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        download_dir: str | Path | None = None,
    ) -> Self:
        """What `save_to_disk` has saved, that of distilabel too. Rows on this host are mapped into memory.

        Args:
            keep_in_memory: read the rows now; None for what `datasets` does with small datasets.
            storage_options: of the file system of `path`.
            download_dir: where artifacts from elsewhere go; if not given, a folder that goes with the Distiset.

        Raises:
            UsageError: there is no Distiset in `path`.
        """
        folder = Path(download_dir) if download_dir is not None else Path(tempfile.mkdtemp(prefix="penstock-distiset-"))
        try:
            content = distiset_disk.load(
                str(path),
                keep_in_memory=keep_in_memory,
                storage_options=storage_options or {},
                download_folder=folder,
            )
        except BaseException:
            if download_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        distiset = cls(content.configs, facts=content.facts, log=content.log, artifacts=content.artifacts)
        if download_dir is None:
            weakref.finalize(distiset, shutil.rmtree, folder, ignore_errors=True)
        return distiset

    def push_to_hub(
        self,
        repo_id: str,
        private: bool = False,
        token: str | None = None,
        generate_card: bool = True,
        include_script: bool = False,
        *,
        script_path: str | Path | None = None,
        include_log: bool = True,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload dataset",
        max_shard_size: int = SHARD_BYTES,
    ) -> str:
        """Puts everything into a dataset of the Hugging Face Hub, by one commit, and returns its URL.

        What the hub has already is not uploaded again, so that a push that failed may simply be repeated. Configs of
        the same names are replaced; others that are there stay.

        Args:
            repo_id: such as `me/quotes`; it is made if it is not there.
            private: for a new one; one that is there and is public is refused.
            token: that of HF_TOKEN, or of a login, if not given.
            generate_card: False leaves the text of a card that is there as it is.
            include_script: put the script that is running there as well.
            script_path: that script, where it is not the one that Python was started with.
            include_log: put the run's log there, which names hosts and folders.
            revision: branch; made if it is not there.
            create_pr: open a pull request instead.
            max_shard_size: bytes of the rows in each Parquet file.

        Raises:
            HubError: the hub refuses it, or cannot be reached; the dataset there is as it was.
            UsageError: an argument is wrong, or it should be private and is public.
        """
        if not self:
            raise UsageError("this Distiset has no config, so that there is nothing to push")
        extras: dict[str, Path | bytes] = {}
        if include_log and (log := self.log):
            extras[LOG] = log.encode()
        if include_script:
            script = _script(script_path)
            extras[script.name] = script
        request = PushRequest(
            repo_id=repo_id,
            private=private,
            token=token,
            generate_card=generate_card,
            extras=extras,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
        )
        with tempfile.TemporaryDirectory(prefix="penstock-push-") as scratch:
            configs = [self._push_config(name, Path(scratch), max_shard_size) for name in self]
            return push(request, self._facts_now, configs, self.artifacts.parent if self.artifacts else None)

    def _push_config(self, name: str, scratch: Path, max_shard_size: int) -> PushConfig:
        files: dict[str, Sequence[Path]] = {}
        card = describe_config(name, self[name], folder=name)
        for split, dataset in self[name].items():
            read, found = self._files.get((name, split), (None, ()))
            # Datasets do not change, so that the very one that was read from files need not be written again.
            files[split] = (
                found
                if read is dataset and all(file.is_file() for file in found)
                else write_parquet_files(dataset, split, scratch / name, max_shard_size)
            )
        return PushConfig(card, files)

    @property
    def _facts_now(self) -> CardFacts:
        return replace(self.facts, failed=self.failed)

    def __repr__(self) -> str:
        configs = "".join(f"    {name}: {_shown(splits)}\n" for name, splits in self.items())
        return f"Distiset({{\n{configs}}})" if configs else "Distiset({})"


def _shown(splits: Any) -> str:
    if not isinstance(splits, Mapping):
        return type(splits).__name__
    return "; ".join(
        f"{split}: {count(len(dataset), 'row')} of {', '.join(dataset.column_names) or 'no columns'}"
        for split, dataset in splits.items()
    )


def _script(path: str | Path | None) -> Path:
    script = Path(path if path is not None else sys.argv[0])
    if script.suffix != ".py" or not script.is_file():
        raise UsageError(
            f"include_script: '{script}' is not the file of a Python script; say with script_path which one made this"
        )
    return script
