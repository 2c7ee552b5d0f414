"""Steps for the Hugging Face Hub: load rows of a dataset, push rows as one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, PrivateAttr

from common.errors import BadData, HubError, UsageError
from common.hub import check_repo_id, hub_errors, make_repository
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import (
    GeneratorStep,
    GeneratorStepOutput,
    GlobalStep,
    Row,
    RuntimeParameter,
    StepInput,
    StepOutput,
)
from common.steps.loading.arrow_columns import MAPS, Maps, problem_of, rows_of
from common.steps.loading.file_readers import in_batches
from common.steps.mappings import output_names

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

_COMMIT = re.compile(r"[0-9a-f]{40}")
_READ_ROWS = 1_000

RepoId = Annotated[str, AfterValidator(check_repo_id)]


class LoadDataFromHub(GeneratorStep):
    """Yields the rows of a dataset on the Hugging Face Hub.

    Rows are streamed, so neither memory nor disk grows with the dataset. Images and audio are read as stored, as a
    mapping of `bytes` and `path`. A run reads the dataset as of its beginning; a changed dataset is another run. The
    token for a private dataset comes from `HF_TOKEN`, or from a login.
    """

    _version: ClassVar[int] = 1

    outputs_of_the_data: ClassVar[bool] = True
    final_errors = (BadData,)

    repo_id: RuntimeParameter[RepoId] = Field(description="The dataset, such as HuggingFaceH4/instruction-dataset.")
    config: RuntimeParameter[str] = Field(default=None, description="Config to load; the default one if null.")
    split: RuntimeOption[str] = Field(default="train", description="Split to load.")
    revision: RuntimeParameter[str] = Field(
        default=None,
        description="Branch, tag or commit; the main branch if null. A full commit needs no lookup.",
    )
    streaming: RuntimeOption[bool] = Field(
        default=True, description="Read rows over the network; if false, each host downloads the dataset first."
    )
    num_examples: RuntimeParameter[int] = Field(default=None, ge=1, description="Rows to load at most; all if null.")
    maps: Maps | None = Field(default=None, description=MAPS)

    _commit: str | None = PrivateAttr(default=None)
    _columns: list[str] | None = PrivateAttr(default=None)

    @property
    def outputs(self) -> list[str]:
        """The columns of the dataset, if the hub can be reached from here."""
        if self._columns is None:
            self._columns = []
            with suppress(HubError, UsageError):  # only workers may reach the hub; the run itself reports errors
                self._columns = self._column_names()
        return self._columns

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        columns = self.outputs
        return output_names(self, columns) if columns else None

    def load(self) -> None:
        """Finds a wrong dataset, config or split before the first batch. Raises HubError."""
        from datasets import disable_progress_bars

        disable_progress_bars()  # they would fill the log
        self._open()

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on. Raises HubError."""
        yield from in_batches(self._rows(offset), self.batch_size)

    def fingerprint(self) -> str:
        """The current commit of `revision`. Raises HubError if it cannot be determined."""
        if self._commit is None:
            self._commit = self._resolve()
        return self._commit

    def pin(self, snapshot: str) -> None:
        """Reads this commit, wherever the branch points meanwhile."""
        self._commit = snapshot

    def _resolve(self) -> str:
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self.revision
        from huggingface_hub import HfApi

        with hub_errors(self._problem):
            return str(HfApi().dataset_info(self._repo_id, revision=self.revision).sha)

    def _open(self) -> Dataset | IterableDataset:
        from datasets import load_dataset

        commit = self.fingerprint()
        with hub_errors(self._problem):
            return load_dataset(self._repo_id, self.config, split=self.split, revision=commit, streaming=self.streaming)

    def _rows(self, offset: int) -> Iterator[Row]:
        dataset = self._open()
        with hub_errors(self._problem):
            if self.num_examples is not None:
                dataset = dataset.take(min(self.num_examples, _length(dataset, self.num_examples)))
            dataset = dataset.skip(offset)
            # As tables, which hold images and sounds as stored.
            for table in dataset.with_format("arrow").iter(batch_size=_READ_ROWS):
                if problem := problem_of(table.schema, self.maps):
                    raise UsageError(f"dataset {self._repo_id}: {problem}")
                yield from rows_of(table, self.maps)

    def _column_names(self) -> list[str]:
        dataset = self._open()
        if dataset.column_names is not None:
            return list(dataset.column_names)
        with hub_errors(self._problem):
            return list(next(iter(dataset.with_format("arrow").iter(batch_size=1))).column_names)

    @property
    def _repo_id(self) -> str:
        if self.repo_id is None:
            raise UsageError(f"step '{self.name}' has no repo_id yet")
        return self.repo_id

    @property
    def _problem(self) -> str:
        config = f", config '{self.config}'" if self.config else ""
        revision = f", revision '{self.revision}'" if self.revision else ""
        return f"step '{self.name}' cannot read the dataset '{self.repo_id}'{config}{revision}, split '{self.split}'"


class PushToHub(GlobalStep):
    """Pushes all rows to a split of a dataset of the Hugging Face Hub, and passes them on.

    The split is replaced; other splits and configs of the dataset stay. In the middle of a pipeline, this saves
    intermediate rows. To push the dataset of a whole run with its card, use `pipeline-coordinator run --push-to-hub` or
    `Distiset.push_to_hub`. The token comes from `HF_TOKEN`, or from a login.
    """

    _version: ClassVar[int] = 1

    repo_id: RuntimeParameter[RepoId] = Field(description="The dataset, such as me/quotes; created if missing.")
    config: RuntimeOption[str] = Field(default="default", description="Config for the rows.")
    split: RuntimeOption[str] = Field(default="train", description="Split for the rows.")
    private: RuntimeOption[bool] = Field(
        default=False, description="Make the dataset private; an existing public one is refused."
    )

    def load(self) -> None:
        """Keeps progress bars out of the log."""
        from datasets import disable_progress_bars
        from huggingface_hub.utils import disable_progress_bars as disable_upload_bars  # type: ignore[attr-defined]

        disable_progress_bars()
        disable_upload_bars()

    def process(self, inputs: StepInput) -> StepOutput:
        """Pushes the rows; safe to repeat, since files already on the hub are not uploaded again.

        Raises:
            HubError: the push was refused, or the hub cannot be reached.
            UsageError: the dataset should be private but is public, or the values of a column have no common type.
        """
        import pyarrow as pa
        from datasets import Dataset
        from huggingface_hub import HfApi

        from common.steps.loading.dataset_tables import tables_of_rows

        if self.repo_id is None:
            raise UsageError(f"step '{self.name}' has no repo_id yet")
        schema, tables = tables_of_rows(inputs)
        dataset = Dataset(pa.concat_tables([schema.empty_table(), *tables]))
        with hub_errors(f"step '{self.name}' could not push {len(inputs)} rows to '{self.repo_id}'"):
            name = make_repository(HfApi(), self.repo_id, self.private)
            dataset.push_to_hub(name, self.config, split=self.split)
        self._logger.info("pushed %d rows to '%s', config '%s', split '%s'", len(inputs), name, self.config, self.split)
        yield inputs


def _length(dataset: Any, otherwise: int) -> int:
    """A stream's length is unknown, and asking it for more than it has is harmless."""
    try:
        return len(dataset)
    except TypeError:
        return otherwise
