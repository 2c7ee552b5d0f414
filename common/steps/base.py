"""The contract of a step: what a class declares, what the engine calls, and in which order.

A worker builds the step from its parameters, calls `load()` once, then `process` for every batch, then `unload()`.
The contract is distilabel's (`Step`, `GeneratorStep`, `GlobalStep`); `AsyncStep` is ours.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from common.errors import RowError, UsageError
from common.parameters.constructors import ExplainedType
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParametersMixin
from common.parameters.runtime_parameters import RuntimeParameter as RuntimeParameter
from common.payloads.artifacts import ArtifactStore, WriteFunction
from common.protocol.step_name import STEP_NAME
from common.steps.graph import Connectable, StepGraph, current_graph
from common.steps.step_type import StepType

Row = dict[str, Any]
StepInput = Annotated[list[Row], "StepInput"]
"""The rows of one predecessor; validation finds the inputs of `process` by this annotation."""
StepOutput = Iterator[list[Row]]
GeneratorStepOutput = Iterator[tuple[Sequence[Row | RowError], bool]]
"""Lists of rows, each with whether they are the last; a RowError is in the place of a row that cannot be made."""
StepColumns = list[str] | dict[str, bool]
"""Column names, or column name -> is it required."""

StepKind = Literal["step", "generator", "global", "async"]


class StepResources(BaseModel, metaclass=ExplainedType):
    """What each worker of the step needs. None of it changes the rows, so none of it is part of a run's signature."""

    model_config = ConfigDict(extra="forbid")

    replicas: RuntimeOption[int] = Field(default=1, ge=1, description="Workers of this step in local mode.")
    gpus: RuntimeOption[int] = Field(default=0, ge=0, description="Devices for each worker.")
    cpus: RuntimeOption[float | None] = Field(
        default=None, gt=0, description="Cores for each worker; for rendered deployments."
    )
    memory: RuntimeOption[int | None] = Field(
        default=None, gt=0, description="Bytes for each worker; for rendered deployments."
    )


class BaseStep(Connectable, RuntimeParametersMixin, ABC, metaclass=StepType):
    """Fields and hooks of every kind of step. Inherit from one of the four kinds below, not from this class."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    kind: ClassVar[StepKind]
    path_fields: ClassVar[tuple[str, ...]] = ()
    """Parameters that are paths: a relative one is resolved against the spec's folder."""
    function_fields: ClassVar[tuple[str, ...]] = ()
    """Parameters that name functions, `module:function`: their code identifies a run as the code of the class does."""
    requirements: ClassVar[list[str]] = []
    """Packages that a worker needs to load the step, as `pip install` takes them; see `@requirements`."""
    citations: ClassVar[tuple[str, ...]] = ()
    """BibTeX entries of the work that the step implements; the dataset's card lists them."""

    name: str = Field(
        default="",
        pattern=rf"^({STEP_NAME.pattern})?$",
        description="Unique in the pipeline; derived from the class by default.",
    )
    input_mappings: dict[str, str] = Field(
        default_factory=dict, description="Column that the step reads -> column of the row."
    )
    output_mappings: dict[str, str] = Field(
        default_factory=dict, description="Column that the step writes -> column of the row."
    )
    skip_when: str | None = Field(
        default=None,
        min_length=1,
        description="Expression over the columns of a row; a row of which it is true passes the step by. Not for "
        "generator steps, nor for steps with several predecessors.",
    )
    resources: StepResources = Field(default_factory=StepResources)
    on_error: RuntimeOption[Literal["skip", "nulls", "fail"]] = Field(
        default="skip",
        description="For a row that fails after its retries: drop it, give it None outputs, or halt the run.",
    )
    retries: RuntimeOption[int] = Field(
        default=2, ge=0, description="Retries of a failing batch, then of a failing row."
    )
    backoff: RuntimeOption[tuple[float, float]] = Field(
        default=(0.5, 10.0),
        description="Seconds before the first retry, and the maximum; doubled each time, with jitter.",
    )
    max_deliveries: RuntimeOption[int] = Field(
        default=3,
        ge=1,
        description="Workers that may die on a batch before it is run row by row in isolation.",
    )
    batch_timeout: RuntimeOption[float | None] = Field(
        default=None,
        gt=0,
        description="Seconds that a call of `process`, or a row of an asynchronous step, may take; null for no limit.",
    )
    max_failure_rate: RuntimeOption[float] = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of failed rows, over the last 1,000, above which the run halts.",
    )

    use_cache: RuntimeOption[bool] = Field(
        default=True,
        description="Use the answers of models that earlier runs and attempts have paid for, and keep them.",
    )

    final_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors that this step raises for rows that cannot succeed: they fail without a retry."""

    _logger: logging.Logger = PrivateAttr(default_factory=lambda: logging.getLogger("penstock.step"))
    _graph: StepGraph[Any] | None = PrivateAttr(default=None)
    _artifacts: ArtifactStore | None = PrivateAttr(default=None)
    _enable_metadata: bool = PrivateAttr(default=False)

    @field_validator("skip_when")
    @classmethod
    def _check_skip_when(cls, skip_when: str | None) -> str | None:
        if skip_when is not None:
            from common.templates.expression import RowExpression

            RowExpression(skip_when)
        return skip_when

    def model_post_init(self, _context: Any) -> None:
        """Adds the step to the pipeline whose `with` block is active, and names it.

        It gets a logger with its name, whose records go to the run's `pipeline.log`.
        """
        graph = current_graph.get()
        if not self.name:
            base = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()
            self.name = graph.unused_name(base) if graph is not None else f"{base}_0"
        if graph is not None:
            graph.add_step(self)
        self._logger = logging.getLogger(f"penstock.step.{self.name}")

    @property
    def graph(self) -> StepGraph[Any] | None:
        return self._graph

    @property
    def inputs(self) -> StepColumns:
        """Columns that `process` reads, under the step's own names (before `input_mappings`)."""
        return []

    @property
    def outputs(self) -> StepColumns:
        """Columns that `process` adds, under the step's own names (before `output_mappings`).

        A row that lacks one fails, unless a mapping says that it may: `{"score": False}`.
        """
        return []

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        """Columns of the rows that leave the step, `available` being those that enter it, after all mappings.

        None means "depends on the data". The default adds `outputs` to `available`; a step that drops columns
        overrides this, so that a column dropped upstream is found before the run.
        """
        if available is None:
            return None
        mapped = {**self.input_mappings, **self.output_mappings}
        return available | {mapped.get(column, column) for column in self.outputs}

    def check_here(self) -> None:
        """Called by `validate`, and before a run with local workers: checks for what this host lacks, such as a file.

        Raises:
            UsageError: says what is missing, and what to do.
        """

    def load(self) -> None:
        """Called once per worker before the first batch: open clients, load models, import heavy packages here."""

    def unload(self) -> None:
        """Called once when the worker ends in an orderly way: release what `load` acquired."""

    def save_artifact(
        self, name: str, write_function: WriteFunction, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps files beside the rows: the dataset has them in `artifacts/<step>/<name>/`.

        Call it in `load` or while processing rows. An artifact is saved whole or not at all. Saving it again, as a
        retried batch does, replaces it.

        Args:
            write_function: called with the path of an empty folder; writes the files there.
            metadata: written to `metadata.json` beside them.

        Raises:
            UsageError: a name that cannot be a folder's, or a worker on another host in a run without `--payloads`.
        """
        if self._artifacts is None:
            raise UsageError(
                f"step '{self.name}': there is no place to keep artifact '{name}': a worker that the coordinator "
                "did not start needs storage that all hosts can reach; run the pipeline with --payloads URL"
            )
        self._artifacts.save(self.name, name, write_function, metadata or {})
        self._logger.info("saved artifact '%s' of step '%s'", name, self.name)


class GeneratorStep(BaseStep):
    """Has no predecessor and makes rows. It must be able to restart at any `offset`."""

    kind: ClassVar[StepKind] = "generator"
    outputs_of_the_data: ClassVar[bool] = False
    """Are `outputs` the columns of a sample of the data, so that a row may lack some of them?"""

    batch_size: RuntimeOption[int] = Field(default=50, ge=1, description="Rows per yield of `process`.")

    @abstractmethod
    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields `(rows, last)`, from row `offset` on; `last` is True with the last rows. Returning ends it as well.

        Another worker may continue where this one stopped, so the same `offset` must yield the same rows. A row that
        cannot be made is a RowError in its place, which counts in the offset; `on_error` says what becomes of it, and
        its `columns` are what is known of the row.
        """

    def fingerprint(self) -> str:
        """Identifies the generator's data, in addition to its parameters; part of the run's signature.

        A step that reads files returns their size, head and tail here, so that changed data is a new run.
        """
        return ""

    def snapshot(self) -> str:
        """What every worker of the run is told about the data (see `pin`): by default the fingerprint."""
        return self.fingerprint()

    def pin(self, snapshot: str) -> None:
        """Called in a worker before `load`, with the snapshot taken when the run was signed.

        From here on, a step whose data may change during a run reads the data of that time, if it can.
        """


class Step(BaseStep):
    """Takes batches of rows, one list per predecessor, and yields lists of rows; every yield counts.

    A step may return fewer rows, more, or none. If it returns as many as it took, row i of the output is assumed to
    come from row i of the input.
    """

    kind: ClassVar[StepKind] = "step"
    splittable: ClassVar[bool] = True
    """May a failing batch be bisected? False for a step in which the rows of a batch depend on each other."""

    input_batch_size: RuntimeOption[int] = Field(
        default=50, ge=1, description="Rows per batch, taken from each predecessor."
    )

    @abstractmethod
    def process(self, *inputs: Any, **_: Any) -> StepOutput:
        """Yields the output rows of one batch, given one `StepInput` per predecessor.

        A step with one predecessor declares `process(self, inputs: StepInput)`, one with several
        `process(self, *inputs: StepInput)`.

        Raises:
            Exception: the batch is retried, then bisected down to the failing rows.
        """


class GlobalStep(Step):
    """Takes all rows of each predecessor at once. Its `inputs` are lists of everything; it is never split."""

    kind: ClassVar[StepKind] = "global"
    splittable: ClassVar[bool] = False


class AsyncStep(BaseStep):
    """Takes one row at a time, many in flight at once across batches: a slow row holds up only its own batch."""

    kind: ClassVar[StepKind] = "async"
    splittable: ClassVar[bool] = True

    input_batch_size: RuntimeOption[int] = Field(default=50, ge=1, description="Rows per batch.")
    concurrency: RuntimeOption[int] = Field(default=50, ge=1, description="Rows in flight in each worker.")

    @abstractmethod
    async def process_row(self, row: Row) -> Row | list[Row] | None:
        """Returns the output row, a list of rows, or None to drop the row.

        Raises:
            Exception: this row alone is retried, then fails.
        """

    async def aload(self) -> None:
        """Like `load`, on the event loop that runs the rows: open asynchronous clients here."""

    async def aunload(self) -> None:
        """Like `unload`, on the event loop that ran the rows."""
