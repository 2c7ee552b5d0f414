"""Distiset: the dataset of a run in a Python program, one DatasetDict per leaf."""

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
from coordinator.runs.bill import NO_BILL
from coordinator.runs.run_directory import RECORD

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

ARROW = "arrow"
"""Folder in a run directory with a second copy of the rows, in a format that can be mapped into memory."""


class Distiset(dict[str, "DatasetDict"]):
    """The rows of each leaf step of a pipeline as a separate config; with a single leaf, the config is `default`.

    Example:
        >>> distiset = pipeline.run()
        >>> distiset["default"]["train"][0]
        >>> distiset.train_test_split(train_size=0.9, seed=7).push_to_hub("me/quotes", private=True)

    Args:
        configs: config -> its splits.
        facts: what the card says about the run that made it.
        log: the text of the run's log, or the file that holds it.
        artifacts: folder with what steps saved besides their rows, as `<step>/<name>/`.
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
        """Step -> number of its failed rows, which are not included."""
        self.skipped: dict[str, int] = dict(self.facts.skipped)
        """Step -> number of rows that passed it by."""
        self.bill = NO_BILL
        """What the run's calls of models took and cost; of the distiset that a run returns."""
        self._log = log
        self._artifacts = artifacts
        self._files: dict[tuple[str, str], tuple[Dataset, Sequence[Path]]] = {}

    @classmethod
    def from_folder(cls, path: str | Path, *, run_directory: Path | None = None, keep_in_memory: bool = False) -> Self:
        """Opens the dataset of a run. Its rows stay on disk and are mapped into memory.

        Args:
            path: its folder: `dataset` in a run directory, or where `--output` put it.
            run_directory: where the log is; not needed if `path` is in it.
            keep_in_memory: read everything now, so that the folder may be deleted.

        Raises:
            UsageError: this folder was not made by a run.
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

    # what the run has left besides its rows

    @property
    def pipeline(self) -> dict[str, Any] | None:
        """The pipeline as plain data, readable by `Pipeline.from_dict`; None if this was not made by a run."""
        if not self.facts.spec:
            return None
        from ruamel.yaml import YAML

        found: dict[str, Any] = YAML(typ="safe", pure=True).load(self.facts.spec)
        return found

    @property
    def log(self) -> str | None:
        """The log of the run; None if there is none, or if its run directory was removed."""
        if not isinstance(self._log, Path):
            return self._log
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    @property
    def artifacts(self) -> Path | None:
        """The folder with what steps saved with `save_artifact`, as `<step>/<name>/`; None if there is none."""
        return self._artifacts if self._artifacts is not None and self._artifacts.is_dir() else None

    @property
    def citations(self) -> list[str]:
        """BibTeX entries of the steps and models that made it."""
        return list(self.facts.citations)

    # working with the rows

    def train_test_split(self, train_size: float, shuffle: bool = True, seed: int | None = None) -> Self:
        """Splits the rows of each config into `train` and `test`; a config without rows gets two empty ones.

        Args:
            train_size: share of the rows that stay in `train`, between 0 and 1.
            seed: seed of the shuffle; the same seed gives the same split.

        Returns:
            This Distiset.

        Raises:
            UsageError: a config already has splits other than `train`, or too few rows; nothing was split.
        """
        if not 0 < train_size < 1:
            raise UsageError(
                f"train_size={train_size} is not a share of the rows; pass a number between 0 and 1, such as 0.9"
            )
        from datasets import DatasetDict

        split: dict[str, DatasetDict] = {}
        for name, splits in self.items():
            if list(splits) != [TRAIN]:
                raise UsageError(
                    f"config '{name}' has the splits {', '.join(splits)}; only a config with just a train split can "
                    "be split"
                )
            rows = splits[TRAIN]
            if not len(rows):
                split[name] = DatasetDict({TRAIN: rows, "test": empty_split(rows.features, "test")})
                continue
            if not 0 < int(len(rows) * train_size) < len(rows):
                raise UsageError(f"config '{name}' has {len(rows)} rows, too few to split at {train_size}")
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
        """Saves everything to a folder that `load_from_disk` reads; an existing Distiset there is replaced.

        Args:
            path: a folder, or the URL of one that fsspec supports.
            storage_options: options of that file system.
            max_shard_size: largest size of a file, such as "1GB".
            num_proc: number of writing processes.

        Raises:
            UsageError: the name of a config cannot be a folder name, or its splits have different columns.
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
        """Loads what `save_to_disk` saved, also that of distilabel. Rows on this host are mapped into memory.

        Args:
            keep_in_memory: read the rows now; None to follow `datasets`, which does so for small datasets.
            storage_options: options of the file system of `path`.
            download_dir: where to put artifacts from elsewhere; if not given, a folder that is deleted with the
                Distiset.

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
        """Pushes everything to a dataset on the Hugging Face Hub in one commit, and returns its URL.

        What the hub already has is not uploaded again, so a failed push can simply be repeated. Configs of the same
        names are replaced; other existing ones are kept.

        Args:
            repo_id: such as `me/quotes`; created if it does not exist.
            private: for a new one; an existing public one is refused.
            token: defaults to that of HF_TOKEN or of a login.
            generate_card: False keeps the text of an existing card.
            include_script: also push the running script.
            script_path: that script, if it is not the one that Python was started with.
            include_log: also push the run's log, which names hosts and folders.
            revision: branch; created if it does not exist.
            create_pr: open a pull request instead.
            max_shard_size: size of the rows in each Parquet file.

        Raises:
            HubError: the hub refuses it, or cannot be reached; the dataset there is unchanged.
            UsageError: an argument is wrong, or the dataset should be private and is public.
        """
        if not self:
            raise UsageError("this Distiset has no config, so there is nothing to push")
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
            # Datasets are immutable, so one that was read from files need not be written again.
            files[split] = (
                found
                if read is dataset and all(file.is_file() for file in found)
                else write_parquet_files(dataset, split, scratch / name, max_shard_size)
            )
        return PushConfig(card, files)

    @property
    def _facts_now(self) -> CardFacts:
        return replace(self.facts, failed=self.failed, skipped=self.skipped)

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
            f"include_script: '{script}' is not a Python script file; pass the script that made this as script_path"
        )
    return script
