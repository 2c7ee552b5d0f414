"""LoadDataFromDisk: rows of a saved dataset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from pydantic import Field

from common.errors import UsageError
from common.steps.base import Row, RuntimeParameter
from common.steps.loading.arrow_columns import MAPS, Maps
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_readers import READERS, ReadOptions, Skip, column_names
from common.steps.loading.file_sources import FileSource
from common.steps.loading.saved_datasets import find_split
from common.steps.mappings import output_names


class LoadDataFromDisk(FileLoader):
    """Yields the rows of a dataset saved by a run or by `save_to_disk`.

    It may be a `Dataset` or a `DatasetDict` of the library `datasets`, a `Distiset`, or the dataset of a run, in a
    folder or at an fsspec URL. Memory does not grow with its size. Images and audio are read as stored, as a mapping of
    `bytes` and `path`. A file that changes during the run halts it; a dataset with other content is another run.
    """

    _version: ClassVar[int] = 1

    path_fields: ClassVar[tuple[str, ...]] = ("dataset_path",)

    dataset_path: RuntimeParameter[str] = Field(description="Folder, or fsspec URL of a folder, of the dataset.")
    split: RuntimeParameter[str] = Field(default=None, description="Split to load; optional if there is only one.")
    config: RuntimeParameter[str] = Field(
        default=None,
        description="Config to load (in a run's dataset, a leaf step); optional if there is only one, or one "
        "named default.",
    )
    num_examples: RuntimeParameter[int] = Field(default=None, ge=1, description="Rows to load at most; all if null.")
    maps: Maps | None = Field(default=None, description=MAPS)
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the fsspec filesystem; credentials come from the environment."
    )

    @property
    def outputs(self) -> list[str]:
        """The columns of the dataset, from its first file."""
        try:
            return column_names(self._files()[0])
        except Exception:  # each filesystem has its own errors
            # The folder may be visible only to the workers; the run itself reports its faults.
            return []

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        columns = self.outputs
        return output_names(self, columns) if columns else None

    def check_here(self) -> None:
        """Raises as `load`."""
        self._files()

    def load(self) -> None:
        """Finds a wrong path, config or split before the first batch.

        Raises:
            UsageError: there is no such one, or there are several to choose from.
            RunError: a file of the dataset is missing.
        """
        self._files()

    def _files(self) -> list[FileSource]:
        if self.dataset_path is None:
            raise UsageError(f"step '{self.name}' has no dataset_path yet")
        return find_split(self.dataset_path, self.config, self.split, self.storage_options)

    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row]:
        stop = None if self.num_examples is None else max(self.num_examples - offset, 0)
        return islice(self._read(files, Skip(offset)), stop)

    def _read(self, files: list[FileSource], skip: Skip) -> Iterator[Row]:
        for source in files:
            yield from READERS[source.suffix.removeprefix(".")](source, ReadOptions(maps=self.maps), skip)
