"""A pipeline written in Python, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from common.building.signature import run_signature
from coordinator.identity.request import LoadGroups, ProgramRequest, asked_with
from coordinator.launch.pipeline_graph import PipelineGraph
from coordinator.plan.load import Prepared
from coordinator.plan.pipeline_file import Parts, read_dict, read_file, spec_text

if TYPE_CHECKING:
    from coordinator.dataset.distiset import Distiset


class Pipeline(PipelineGraph):
    """Steps and their connections.

    Example:
        >>> with Pipeline("quotes", description="Answers to quotes") as pipeline:
        ...     load = LoadDataFromDicts(data=[{"instruction": "Say hello"}])
        ...     generate = TextGeneration(llm=EchoLLM())
        ...     load >> generate
        >>> distiset = pipeline.run()

    Args:
        name: identifies its runs; derived from the names of the steps if not given.
        description: what it is for; appears in the dataset card.
        cache_dir: where run directories are; see `coordinator.runs.run_directory.cache_directory`.
        enable_metadata: keep the column with the raw inputs and outputs of tasks.
        requirements: packages that every worker must have, such as "vllm>=0.6".
        load_groups: steps that are loaded together, group after group; `run` may override them.
        on_type_conflict: what happens when a value has another type than its column: its row fails, or the column
            becomes text.
        prices: model -> `input`, `output` and `cached`, in US dollars per million tokens.

    Steps created inside a `with` block of the pipeline belong to it.
    """

    # as data

    def dump(self) -> dict[str, Any]:
        """Plain data that `from_dict` and `pipeline-coordinator run` read; never contains a secret."""
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
        """Reads a pipeline from a Penstock dump, or from a distilabel dump.

        Args:
            allow: modules that steps may come from, besides built-in steps, installed plugins and modules in the
                current folder; "*" for any.

        Raises:
            SpecError: it is invalid; says where.
        """
        return cls._from_parts(read_dict(data, allow))

    @classmethod
    def from_file(cls, path: str | Path, *, allow: Sequence[str] = ()) -> Self:
        """Reads a pipeline from a YAML or JSON file, or from the URL of one; see `from_dict`.

        Modules next to a file may be imported; those next to a URL may not.
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
            prices={model: price.model_dump(exclude_none=True) for model, price in spec.prices.items()},
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
        from coordinator.launch.program import prepare_pipeline

        return prepare_pipeline(self, ProgramRequest())

    @property
    def signature(self) -> str:
        """What makes two runs the same: 32 hex digits over the steps, their code, parameters, data and edges."""
        prepared = self.prepare()
        return run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    def get_runtime_parameters_info(self) -> dict[str, list[dict[str, Any]]]:
        """Per step, the parameters that `run(parameters=...)` may set, each with `name`, `optional`, `description`."""
        from common.parameters.runtime_parameters import runtime_parameters_info

        return {name: runtime_parameters_info(step) for name, step in self._steps.items()}

    def get_load_stages(self, load_groups: LoadGroups | None = None) -> list[list[str]]:
        """The steps that are loaded together, stage by stage."""
        from coordinator.launch.program import prepare_pipeline

        return prepare_pipeline(self, ProgramRequest(load_groups=load_groups)).plan.load_stages

    def draw(self, path: str | Path | None = None) -> str:
        """The graph as text; given a path, also as an SVG picture, made without network access."""
        from coordinator.view.graph_drawing import draw_text

        if path is not None:
            Path(path).write_text(self._repr_svg_(), encoding="utf-8")
        return draw_text(self.prepare().plan)

    def _repr_svg_(self) -> str:
        """What a notebook displays."""
        from coordinator.view.graph_svg import draw_svg

        types = {name: type(step).__name__ for name, step in self._steps.items()}
        return draw_svg(self.prepare().plan, types, {name: function.name for name, function in self._routing.items()})

    # running it

    @asked_with(ProgramRequest)
    def run(self, request: ProgramRequest) -> Distiset:
        """Runs the pipeline to its dataset, resumes an unfinished run of it, or returns the dataset of a complete one.

        Without a broker, it starts one and shuts it down at the end.

        Returns:
            One DatasetDict per leaf. Failed rows are not included; `distiset.failed` counts them per step.

        Raises:
            UsageError: the pipeline or an argument is wrong; nothing was started.
            RunFailed: the run did not complete; `report` says how far it got. The same call resumes it.
            RunStopped: it was asked to stop (Ctrl-C, SIGTERM, `pipeline-coordinator stop`).
            Fenced: another process is running it.
        """
        from coordinator.launch.program import run_pipeline

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
        """Sends one batch through every step and keeps nothing but the returned rows.

        Args:
            batch_size: rows that each generator makes.
        """
        from coordinator.launch.program import run_pipeline

        request = ProgramRequest(
            parameters, broker=broker, dataset=dataset, dataset_batch_size=batch_size, progress=progress
        )
        return run_pipeline(self, request, dry_run_batch_size=batch_size)
