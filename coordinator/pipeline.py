"""A pipeline that is written in Python: steps, their connections, and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Token
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from common.dump import dump_routing, dump_step
from common.errors import UsageError
from common.routing import RoutingBatchFunction
from common.signature import run_signature
from common.spec import PipelineSpec
from common.steps.base import BaseStep
from common.steps.graph import StepGraph, current_graph
from coordinator.load import Prepared
from coordinator.pipeline_file import Parts, read_dict, read_file, spec_text
from coordinator.request import LoadGroups, ProgramRequest, asked_with

if TYPE_CHECKING:
    from coordinator.distiset import Distiset

LONGEST_NAME = 64


class Pipeline:
    """Steps and their connections.

    Example:
        >>> with Pipeline("quotes", description="Answers to quotes") as pipeline:
        ...     load = LoadDataFromDicts(data=[{"instruction": "Say hello"}])
        ...     generate = TextGeneration(llm=EchoLLM())
        ...     load >> generate
        >>> distiset = pipeline.run()

    Args:
        name: its runs are found by it; made from the names of the steps if not given.
        description: what it is for; goes to the dataset's card.
        cache_dir: where run directories are; see `coordinator.run_directory.cache_directory`.
        enable_metadata: keep the column of raw inputs and outputs that tasks write about their rows.
        requirements: packages that every worker must have, such as "vllm>=0.6".
        load_groups: steps that are loaded together, one group after the other; `run` may give others.
        on_type_conflict: a value of the dataset that has another type than its column so far fails its row, or makes
            the column text.

    Steps that are made inside of a `with` block of the pipeline belong to it.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        name: str | None = None,
        description: str | None = None,
        cache_dir: str | Path | None = None,
        enable_metadata: bool = False,
        requirements: Sequence[str] = (),
        load_groups: LoadGroups | None = None,
        on_type_conflict: Literal["fail", "string"] = "fail",
    ) -> None:
        self._name = name
        self.description = description
        self.cache_dir = Path(cache_dir) if cache_dir is not None else None
        self.enable_metadata = enable_metadata
        self.requirements = list(requirements)
        self.load_groups = load_groups
        self.on_type_conflict: Literal["fail", "string"] = on_type_conflict
        self._steps: dict[str, BaseStep] = {}
        self._after: dict[str, list[str]] = {}
        self._routing: dict[str, RoutingBatchFunction] = {}
        self._entered: list[Token[StepGraph[Any] | None]] = []

    # writing it

    def __enter__(self) -> Self:
        self._entered.append(current_graph.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_graph.reset(self._entered.pop())

    def unused_name(self, base: str) -> str:
        """`base` and the first number that makes it a name of its own."""
        number = 0
        while f"{base}_{number}" in self._steps:
            number += 1
        return f"{base}_{number}"

    def add_step(self, step: BaseStep) -> None:
        """Makes a step part of the pipeline; one that is made inside of its `with` block is so already.

        Raises:
            UsageError: another step has its name, or it belongs to another pipeline.
        """
        if step.graph is not None and step.graph is not self:
            raise UsageError(f"step '{step.name}' belongs to another pipeline: make one for each of them")
        if self._steps.setdefault(step.name, step) is not step:
            raise UsageError(f"a step with the name '{step.name}' is there already: give one of them another name")
        self._after.setdefault(step.name, [])
        step._graph = self

    def add_edge(self, source: BaseStep, target: BaseStep) -> None:
        """Lets `target` take the rows of `source`; written `source >> target`.

        Raises:
            UsageError: a step that is not of this pipeline, a second edge, or one that would close a cycle.
        """
        for step in (source, target):
            if self._steps.get(step.name) is not step:
                raise UsageError(
                    f"step '{step.name}' is not of the pipeline of the step it is connected with: make it inside of "
                    "the same 'with Pipeline(...):', or give it to add_step first"
                )
        before = self._after[target.name]
        if source.name in before:
            raise UsageError(f"step '{target.name}' comes after '{source.name}' already; connect them once")
        try:
            TopologicalSorter({**self._after, target.name: [*before, source.name]}).prepare()
        except CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise UsageError(
                f"step '{target.name}' cannot come after '{source.name}': the steps would form a cycle, {cycle}"
            ) from None
        before.append(source.name)

    def add_routing(self, source: BaseStep, function: RoutingBatchFunction) -> None:
        """Has each batch of `source` go to those successors that `function` chooses; `source >> function >> [a, b]`.

        Raises:
            UsageError: the step has a routing function already.
        """
        if self._routing.setdefault(source.name, function) is not function:
            raise UsageError(f"step '{source.name}' has a routing batch function already; it can have one")

    @property
    def name(self) -> str:
        """As given, or made from the names of the steps."""
        return self._name or "_".join(["pipeline", *self._steps])[:LONGEST_NAME].rstrip("_-")

    @property
    def steps(self) -> Mapping[str, BaseStep]:
        """The steps by name, in the order in which they were added."""
        return dict(self._steps)

    def __eq__(self, other: object) -> bool:
        return self.spec().dump() == other.spec().dump() if isinstance(other, Pipeline) else NotImplemented

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}: {', '.join(self._steps) or 'no steps'})"

    # as data

    def spec(self, load_groups: LoadGroups | None = None) -> PipelineSpec:
        """The pipeline as data; relative paths are taken to start in the current folder.

        Raises:
            UsageError: a class or a function that no worker can import, or a parameter that no file can hold.
            SpecFault: a name that is not usable, or a secret in plain text.
        """
        data: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "steps": {
                name: dump_step(step, self._after[name], base_dir=Path.cwd()) for name, step in self._steps.items()
            },
            "routing": {name: dump_routing(function) for name, function in self._routing.items()},
            "enable_metadata": self.enable_metadata,
            "requirements": self.requirements,
            "load_groups": _group_names(load_groups or self.load_groups),
            "on_type_conflict": self.on_type_conflict,
        }
        return PipelineSpec.from_dict({key: value for key, value in data.items() if value or key == "steps"})

    def dump(self) -> dict[str, Any]:
        """Plain data that `from_dict` and `pipeline-coordinator run` read; never with a secret in it."""
        return {"penstock": {"version": version("penstock")}, **self.spec().dump()}

    def save(self, path: str | Path, format: Literal["yaml", "json"] | None = None) -> None:
        """Writes the pipeline to a file, as YAML or JSON.

        Args:
            format: taken from the file's name if not given: `.json`, else YAML.
        """
        path = Path(path)
        chosen = format or ("json" if path.suffix == ".json" else "yaml")
        path.write_text(spec_text(self.dump(), chosen), encoding="utf-8")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, allow: Sequence[str] = ()) -> Self:
        """The pipeline of a dump of ours, or of one of distilabel's.

        Args:
            allow: modules that steps may come from, beside built-in steps, installed plugins and those of the current
                folder; "*" for any.

        Raises:
            SpecError: it is wrong; says where.
        """
        return cls._from_parts(read_dict(data, allow))

    @classmethod
    def from_file(cls, path: str | Path, *, allow: Sequence[str] = ()) -> Self:
        """The pipeline of a YAML or JSON file, or of a URL of one; see `from_dict`.

        Modules beside a file may be imported, those beside a URL may not.
        """
        return cls._from_parts(read_file(str(path), allow))

    from_yaml = from_file
    from_json = from_file

    @classmethod
    def _from_parts(cls, parts: Parts) -> Self:
        spec = parts.spec
        pipeline = cls(
            spec.name,
            spec.description,
            enable_metadata=spec.enable_metadata,
            requirements=spec.requirements,
            load_groups=spec.load_groups,
            on_type_conflict=spec.on_type_conflict,
        )
        for step in parts.steps.values():
            pipeline.add_step(step)
        for name, step_spec in spec.steps.items():
            for before in step_spec.after:
                pipeline.add_edge(parts.steps[before], parts.steps[name])
        for name, function in parts.routing.items():
            pipeline.add_routing(parts.steps[name], function)
        return pipeline

    # looking at it

    def prepare(self) -> Prepared:
        """Builds and validates it as a run would.

        Raises:
            SpecError: it cannot run; says why.
        """
        from coordinator.program import prepare_pipeline

        return prepare_pipeline(self, ProgramRequest())

    @property
    def signature(self) -> str:
        """What makes two runs the same run: 32 hex digits over the steps, their code, parameters, data and edges."""
        prepared = self.prepare()
        return run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    def get_runtime_parameters_info(self) -> dict[str, list[dict[str, Any]]]:
        """Per step, the parameters that `run(parameters=...)` may set, each with `name`, `optional`, `description`."""
        from common.runtime_parameters import runtime_parameters_info

        return {name: runtime_parameters_info(step) for name, step in self._steps.items()}

    def get_load_stages(self, load_groups: LoadGroups | None = None) -> list[list[str]]:
        """The steps that are loaded together, stage by stage."""
        from coordinator.program import prepare_pipeline
        from coordinator.stages import load_stages

        return load_stages(prepare_pipeline(self, ProgramRequest(load_groups=load_groups)).plan)

    def draw(self, path: str | Path | None = None) -> str:
        """The graph as text; with a path, also as a picture (SVG), made without a network."""
        from coordinator.graph_drawing import draw_text

        if path is not None:
            Path(path).write_text(self._repr_svg_(), encoding="utf-8")
        return draw_text(self.prepare().plan)

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        from coordinator.graph_svg import draw_svg

        types = {name: type(step).__name__ for name, step in self._steps.items()}
        return draw_svg(self.prepare().plan, types, {name: function.name for name, function in self._routing.items()})

    # running it

    @asked_with(ProgramRequest)
    def run(self, request: ProgramRequest) -> Distiset:
        """Runs the pipeline to its dataset, or resumes a run of it that did not end, or returns the dataset of one that
        did.

        Without a broker it starts one of its own, and ends it again.

        Returns:
            One DatasetDict per leaf. Rows that failed are not among them; `distiset.failed` counts them per step.

        Raises:
            UsageError: something is wrong with the pipeline or the arguments; nothing was started.
            RunFailed: the run did not come to its end; `report` says how far it is. The same call resumes it.
            RunStopped: it was asked to stop (Ctrl-C, SIGTERM, `pipeline-coordinator stop`).
            Fenced: another process is running it.
        """
        from coordinator.program import run_pipeline

        return run_pipeline(self, request)

    def dry_run(
        self,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        batch_size: int = 1,
        *,
        broker: str | None = None,
        dataset: Any = None,
        progress: bool = True,
    ) -> Distiset:
        """Sends one batch through every step and keeps nothing but what it returns.

        Args:
            batch_size: rows that each generator makes.
        """
        from coordinator.program import run_pipeline

        request = ProgramRequest(
            parameters, broker=broker, dataset=dataset, dataset_batch_size=batch_size, progress=progress
        )
        return run_pipeline(self, request, dry_run_batch_size=batch_size)


def _group_names(groups: Any) -> Any:
    if groups is None or isinstance(groups, str):
        return groups
    return [[step.name if isinstance(step, BaseStep) else step for step in group] for group in groups]
