"""A pipeline as data: the pydantic model of `spec.yaml`, and how the file is read.

Reading keeps the place of everything, so that faults found later (in a class, in the graph) name file and line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from common.errors import Loc, SpecError, SpecFault, UsageError
from common.naming.catalogue import STEP_KINDS, paths
from common.protocol.step_name import StepName
from common.spec.distilabel_format import from_distilabel, is_distilabel
from common.spec.overrides import apply_override
from common.spec.requirements import parse_requirement
from common.spec.secrets import hide_given, refuse_secrets
from common.spec.yaml_source import MOST_TEXT, YamlSource
from common.words.faults import hint, known_fields, shown, validation_faults
from common.words.redaction import hide_to_the_end


def _as_list(value: Any) -> Any:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _is_requirement(text: str) -> str:
    try:
        parse_requirement(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


class _Open(BaseModel):
    """A mapping with some keys of its own; the others are the parameters of a class or a function."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    @property
    def params(self) -> dict[str, Any]:
        """Everything except the fields of this model."""
        return self.__pydantic_extra__ or {}


class StepSpec(_Open):
    """A step: its type, its predecessors, and beside them the parameters of its class."""

    type: str = Field(
        min_length=1,
        description="A built-in name such as TextGeneration, or module:Class.",
        examples=[*paths(*STEP_KINDS)],
    )
    after: Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str] | None)] = Field(
        default_factory=list,
        description="The step, or the list of steps, whose rows this one takes. A generator step has no predecessors.",
    )


class RoutingSpec(_Open):
    """Which successors get a batch of a step: a routing batch function and, beside it, its parameters."""

    function: str = Field(
        min_length=1,
        description="A built-in name such as sample_n_steps, or module:function.",
        examples=[*paths("routing function")],
    )


class PriceSpec(BaseModel):
    """What a model costs, in US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, allow_inf_nan=False, description="Of the prompt.")
    output: float = Field(ge=0, allow_inf_nan=False, description="Of the answer, its reasoning included.")
    cached: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Of the prompt's tokens that the endpoint had in its cache; by default as any other.",
    )


class Writer(BaseModel):
    """What wrote a file."""

    version: str


class PipelineSpec(BaseModel):
    """A pipeline: a graph of steps, from generator steps to the leaf steps whose rows are the dataset."""

    model_config = ConfigDict(extra="forbid")

    penstock: Writer | None = Field(
        default=None, exclude=True, description="The version that wrote the file; optional."
    )
    name: str = Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$", description="Name of the pipeline; identifies its runs."
    )
    description: str | None = Field(default=None, description="What the pipeline is for; shown on the dataset's card.")
    steps: dict[StepName, StepSpec] = Field(description="The steps by name.")
    routing: dict[str, RoutingSpec] = Field(
        default_factory=dict, description="Step -> the function that routes each of its batches to some successors."
    )
    enable_metadata: bool = Field(
        default=False, description="Keep the column in which tasks record their raw inputs and outputs."
    )
    requirements: list[Annotated[str, AfterValidator(_is_requirement)]] = Field(
        default_factory=list, description="Packages that every worker must have, as pip install takes them."
    )
    load_groups: list[list[str]] | Literal["sequential_step_execution"] | None = Field(
        default=None, description="Groups of steps that are loaded together, one group after another."
    )
    on_type_conflict: Literal["fail", "string"] = Field(
        default="fail",
        description="What happens to a value whose type differs from its column's so far: the row fails, or the column "
        "becomes text.",
    )

    prices: dict[str, PriceSpec] = Field(
        default_factory=dict,
        description="Model -> its price, in US dollars per million tokens; before the built-in ones.",
    )

    @classmethod
    def from_dict(cls, data: Any) -> PipelineSpec:
        """The inverse of `dump`.

        Raises:
            SpecFault: unknown key, missing key, invalid value, or a secret in plain text.
        """
        if not isinstance(data, Mapping):
            raise SpecFault(f"a pipeline is a mapping with 'name' and 'steps', not {shown(data)}")
        try:
            spec = cls.model_validate(data)
        except ValidationError as error:
            raise _first_fault(error, data) from None
        for name, step in spec.steps.items():
            refuse_secrets(step.params, ("steps", name))
        for name, routing in spec.routing.items():
            refuse_secrets(routing.params, ("routing", name))
        return spec

    def dump(self) -> dict[str, Any]:
        """Plain data in the format of the file, defaults omitted."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def dump_for_workers(self) -> dict[str, Any]:
        """The same without what only a coordinator needs, so that workers of earlier versions can read it."""
        return {name: value for name, value in self.dump().items() if name != "prices"}


MOST_BYTES = 4 * MOST_TEXT
"""Of a spec's file; a character has up to four bytes."""


@dataclass(frozen=True, slots=True)
class SpecSource:
    """Where a spec came from.

    Args:
        file: its path as the user gave it.
        overrides: places set by the command line.
        moved: place in our format -> place in the file, for a file in another format.
        data: the spec as plain data in our format, command-line values included; None if it is the file's data.
    """

    file: str
    yaml: YamlSource
    overrides: tuple[Loc, ...] = ()
    moved: Mapping[Loc, Loc] | None = None
    data: Any = None

    def line(self, loc: Loc) -> int | None:
        """1-based line of a place in the spec, or of the closest enclosing place."""
        for length in range(len(loc), 0, -1):
            if self.moved and (there := self.moved.get(loc[:length])):
                return self.yaml.line(there + loc[length:])
        return self.yaml.line(loc)

    def error(self, fault: SpecFault) -> SpecError:
        """The same fault, with its file and line, or with the command-line option that caused it."""
        message = hide_given(fault.message, self.yaml.data if self.data is None else self.data, fault.loc)
        for override in self.overrides:
            if fault.loc[: len(override)] == override:
                return SpecError(f"--set {hide_to_the_end('.'.join(map(str, override[1:])))}: {message}")
        return SpecError(message, file=self.file, line=self.line(fault.loc))


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec read from a file.

    Args:
        folder: the file's folder, absolute: paths in the spec are relative to it.
        text: the content of the file.
    """

    spec: PipelineSpec
    source: SpecSource
    folder: Path
    text: str


def load_spec(path: Path, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Reads a spec, in our format or in distilabel's.

    Args:
        overrides: `step.param=value`, the value in YAML; `param` may lead into mappings (`generate.llm.model`).

    Raises:
        SpecError: with file and line, or with the invalid override.
    """
    file = str(path)
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise SpecError(f"a spec has at most {MOST_BYTES:,} bytes, this file has more", file=file)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"byte {error.start} is not UTF-8; save the file as UTF-8", file=file) from None
    except OSError as error:
        raise SpecError(f"cannot read the spec: {error.strerror or error}", file=file) from None
    return parse_spec(file, YamlSource.parse(text, file), path.resolve().parent, overrides, text=text)


def parse_spec(
    file: str, yaml: YamlSource, folder: Path, overrides: Sequence[str] = (), *, text: str = ""
) -> LoadedSpec:
    """`load_spec` for data already read; `file` is its name in messages, and may be empty."""
    source = SpecSource(file, yaml)
    try:
        data = yaml.data
        if is_distilabel(data):
            data, moved = from_distilabel(data)
            source = SpecSource(file, yaml, moved=moved, data=data)
        spec = PipelineSpec.from_dict(data)
        for override in overrides:
            data, loc = apply_override(spec.dump(), override)
            source = SpecSource(file, yaml, (*source.overrides, loc), source.moved, data)
            spec = PipelineSpec.from_dict(data)
    except SpecFault as fault:
        raise source.error(fault) from None
    return LoadedSpec(spec, source, folder, text)


def absolute_path(value: Any, base_dir: Path) -> Any:
    """A path, or a list or mapping of paths, relative ones resolved against `base_dir`; URLs stay unchanged."""
    if isinstance(value, dict):
        return {name: absolute_path(item, base_dir) for name, item in value.items()}
    if isinstance(value, list):
        return [absolute_path(item, base_dir) for item in value]
    if not isinstance(value, str) or not value or "://" in value:
        return value
    return str(base_dir / os.path.expanduser(value))


def _first_fault(error: ValidationError, data: Mapping[str, Any]) -> SpecFault:
    detail = min(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    match detail["type"], detail["loc"]:
        case "extra_forbidden", (str(key),):
            return SpecFault(f"unknown key '{key}'{hint(key, known_fields(PipelineSpec), 'the keys are')}", (key,))
        case "missing", (str(key),):
            return SpecFault(f"the pipeline has no '{key}'")
        case "missing", ("steps", name, key):
            return SpecFault(f"step '{name}' has no '{key}'", ("steps", name))
        case "missing", (section, name, key):
            return SpecFault(f"{section} of '{name}' has no '{key}'", (section, name))
        case "string_pattern_mismatch", ("name",):
            message = "use up to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit"
            return SpecFault(f"the pipeline's name {shown(data['name'])} is invalid; {message}", ("name",))
        case "string_pattern_mismatch", ("steps", name, "[key]"):
            message = "use up to 64 letters, digits, '_' and '-'"
            return SpecFault(f"the step name {shown(name)} is invalid; {message}", ("steps", name))
        case "model_type", ("steps", name):
            return SpecFault(
                f"step '{name}' is {shown(detail['input'])}; it must be a mapping with a 'type'", ("steps", name)
            )
        case "dict_type", ("steps",):
            return SpecFault(f"'steps' is {shown(detail['input'])}; it must map step names to steps", ("steps",))
    fault = next(validation_faults(error, "the pipeline", {}, data))
    return SpecFault(fault.message, fault.loc)
