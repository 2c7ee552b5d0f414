"""The contract of a step: what a class declares, and what the engine calls, in which order.

A worker builds the step from its parameters, calls `load()` once, then `process` for every batch, then `unload()`.
The contract is distilabel's (`Step`, `GeneratorStep`, `GlobalStep`); `AsyncStep` is ours.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from common.errors import UsageError
from common.parameters.constructors import ExplainedType
from common.parameters.runtime_parameters import RuntimeOption, RuntimeParametersMixin
from common.parameters.runtime_parameters import RuntimeParameter as RuntimeParameter
from common.payloads.artifacts import ArtifactStore, WriteFunction
from common.protocol.step_name import STEP_NAME
from common.steps.graph import Connectable, StepGraph, current_graph
from common.steps.step_type import StepType

Row = dict[str, Any]
StepInput = Annotated[list[Row], "StepInput"]
"""The rows of one predecessor: the annotation by which validation finds the inputs of `process`."""
StepOutput = Iterator[list[Row]]
GeneratorStepOutput = Iterator[tuple[list[Row], bool]]
StepColumns = list[str] | dict[str, bool]
"""Column names, or column name -> is it required."""

StepKind = Literal["step", "generator", "global", "async"]


class StepResources(BaseModel, metaclass=ExplainedType):
    """What each worker of the step needs. None of it changes the rows, so none of it is in a run's signature."""

    model_config = ConfigDict(extra="forbid")

    replicas: RuntimeOption[int] = Field(default=1, ge=1, description="Workers of this step that local mode starts.")
    gpus: RuntimeOption[int] = Field(default=0, ge=0, description="Devices for each worker.")
    cpus: RuntimeOption[float | None] = Field(
        default=None, gt=0, description="Cores for each worker; for rendered deployments."
    )
    memory: RuntimeOption[int | None] = Field(
        default=None, gt=0, description="Bytes for each worker; for rendered deployments."
    )


class BaseStep(Connectable, RuntimeParametersMixin, ABC, metaclass=StepType):
    """Fields and hooks that every kind of step has. Inherit from one of the four kinds below, not from this."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    kind: ClassVar[StepKind]
    path_fields: ClassVar[tuple[str, ...]] = ()
    """Parameters that are paths: a relative one is resolved against the spec's folder."""
    requirements: ClassVar[list[str]] = []
    """Packages that a worker must have before it loads the step, as `pip install` takes them; see `@requirements`."""
    citations: ClassVar[tuple[str, ...]] = ()
    """BibTeX entries of what the step is made after; the dataset's card lists them."""

    name: str = Field(
        default="",
        pattern=rf"^({STEP_NAME.pattern})?$",
        description="Unique in the pipeline; made from the class if not given.",
    )
    input_mappings: dict[str, str] = Field(
        default_factory=dict, description="Column that the step reads -> column of the row that holds it."
    )
    output_mappings: dict[str, str] = Field(
        default_factory=dict, description="Column that the step writes -> name that the row gets."
    )
    resources: StepResources = Field(default_factory=StepResources)
    on_error: RuntimeOption[Literal["skip", "nulls", "fail"]] = Field(
        default="skip",
        description="A row that still fails after its retries: leave it out, give it None outputs, or halt the run.",
    )
    retries: RuntimeOption[int] = Field(
        default=2, ge=0, description="Times that a failing batch, then a failing row, is tried again."
    )
    backoff: RuntimeOption[tuple[float, float]] = Field(
        default=(0.5, 10.0),
        description="Seconds before the first retry, and at most; doubled each time, with jitter.",
    )
    max_deliveries: RuntimeOption[int] = Field(
        default=3,
        ge=1,
        description="Workers that may die on a batch before it is run row by row in isolation.",
    )
    batch_timeout: RuntimeOption[float | None] = Field(
        default=None,
        gt=0,
        description="Seconds that one call of `process` may take, or a row of an asynchronous step; null for no limit.",
    )
    max_failure_rate: RuntimeOption[float] = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of failed rows, over the last 1,000, above which the run halts.",
    )

    final_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """What this step raises for rows that cannot succeed: they fail without a retry."""

    _logger: logging.Logger = PrivateAttr(default_factory=lambda: logging.getLogger("penstock.step"))
    _graph: StepGraph[Any] | None = PrivateAttr(default=None)
    _artifacts: ArtifactStore | None = PrivateAttr(default=None)
    _enable_metadata: bool = PrivateAttr(default=False)

    def model_post_init(self, _context: Any) -> None:
        """Makes the step part of the pipeline whose `with` block is running, and names it.

        It gets a logger of its own name, whose records go to the run's `pipeline.log`.
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

        None stands for "depends on the data". The default adds `outputs` to what came in; a step that drops columns
        overrides this, so that a column dropped upstream is found before the run.
        """
        if available is None:
            return None
        mapped = {**self.input_mappings, **self.output_mappings}
        return available | {mapped.get(column, column) for column in self.outputs}

    def check_here(self) -> None:
        """Called before a run of local workers, and by `validate`: looks for what this host lacks, such as a file.

        Raises:
            UsageError: says what, and what to do.
        """

    def load(self) -> None:
        """Called once per worker before the first batch: open clients, load models, import heavy packages here."""

    def unload(self) -> None:
        """Called once on an orderly end of the worker: give back what `load` took."""

    def save_artifact(
        self, name: str, write_function: WriteFunction, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps files beside the rows: they will be in the dataset, in `artifacts/<step>/<name>/`.

        To be called in `load` or while rows are processed. An artifact is there whole or not at all, and one that is
        saved again, as by a batch that is tried again, takes the place of the first.

        Args:
            write_function: is called with the path of an empty folder, and writes its files there.
            metadata: goes to `metadata.json` beside them.

        Raises:
            UsageError: a name that is not that of a folder, or a worker on another host in a run without `--payloads`.
        """
        if self._artifacts is None:
            raise UsageError(
                f"step '{self.name}': there is nowhere to keep artifact '{name}': a worker that the coordinator did "
                "not start needs a place that all hosts reach; run the pipeline with --payloads URL"
            )
        self._artifacts.save(self.name, name, write_function, metadata or {})
        self._logger.info("artifact '%s' of step '%s' is saved", name, self.name)


class GeneratorStep(BaseStep):
    """Has no predecessor and makes rows. It must be able to start again at any `offset`."""

    kind: ClassVar[StepKind] = "generator"
    outputs_of_the_data: ClassVar[bool] = False
    """Are `outputs` the columns of the data as far as it was looked at, so that a row may lack some of them?"""

    batch_size: RuntimeOption[int] = Field(default=50, ge=1, description="Rows that each yield of `process` has.")

    @abstractmethod
    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields `(rows, last)`, from row `offset` on; `last` is True with the last rows. To run out ends it as well.

        Another worker may go on where this one stopped, so the same `offset` must give the same rows.
        """

    def fingerprint(self) -> str:
        """What identifies the data behind the generator, beside its parameters; part of the run's signature.

        A step that reads files gives their size, head and tail here, so that changed data is a new run.
        """
        return ""

    def snapshot(self) -> str:
        """What every worker of the run is told of the data, see `pin`: the fingerprint, unless there is more to say."""
        return self.fingerprint()

    def pin(self, snapshot: str) -> None:
        """Called in a worker before `load`, with the snapshot that was taken when the run was signed.

        A step whose data may change while a run goes on reads from here on what there was then, if it can.
        """


class Step(BaseStep):
    """Takes batches of rows, one list per predecessor, and yields lists of rows; every yield counts.

    A step may return fewer rows, more, or none. When it returns as many as it took, row i of the output is
    taken to come from row i of the input.
    """

    kind: ClassVar[StepKind] = "step"
    splittable: ClassVar[bool] = True
    """May a failing batch be bisected? False for a step whose rows of one batch depend on each other."""

    input_batch_size: RuntimeOption[int] = Field(
        default=50, ge=1, description="Rows per batch, taken from each predecessor."
    )

    @abstractmethod
    def process(self, *inputs: Any, **_: Any) -> StepOutput:
        """Yields the output rows of one batch, given one `StepInput` per predecessor.

        A step with one predecessor declares `process(self, inputs: StepInput)`, one with several
        `process(self, *inputs: StepInput)`.

        Raises:
            Exception: the batch is retried, then bisected until only the rows that fail are left.
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
        """Returns the output row, a list of rows, or None to leave the row out.

        Raises:
            Exception: the row, and no other, is retried, then fails.
        """

    async def aload(self) -> None:
        """Like `load`, on the event loop that runs the rows: open asynchronous clients here."""

    async def aunload(self) -> None:
        """Like `unload`, on the event loop that ran the rows."""
