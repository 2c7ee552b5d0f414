"""Runtime parameters: fields of a step and its parts that may be given when the pipeline is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ModelWrapValidatorHandler, model_validator
from pydantic.fields import FieldInfo

from common.errors import SpecFault

T = TypeVar("T")


class RuntimeParameterMarker:
    """Marks a field as a runtime parameter; the field's `description` documents it."""


RuntimeParameter = Annotated[T | None, RuntimeParameterMarker()]
"""`RuntimeParameter[int]`: a field that may be given when the pipeline is run.

One without a default may be omitted when the step is created. It is None until set, and a run needs it to start.
"""
RuntimeOption = Annotated[T, RuntimeParameterMarker()]
"""Like `RuntimeParameter`, for a field that has a default and is never None."""


class RuntimeParametersMixin(BaseModel):
    """Base of steps and LLMs, optionally of models in their fields: creatable before all values are known."""

    @model_validator(mode="wrap")
    @classmethod
    def _wait_for_values(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        if not isinstance(data, dict):
            return handler(data)
        made = handler(_filled(cls, data))
        made.__pydantic_fields_set__.difference_update(_awaited(cls, data).values())
        return made

    @classmethod
    def runtime_parameter_keys(cls, parameter: str) -> Mapping[str, bool]:
        """The known keys of a mapping among the runtime parameters: is each optional?"""
        return {}

    if not TYPE_CHECKING:  # a type checker would take any attribute to exist

        def __getattr__(self, name: str) -> Any:
            """Finds a private attribute at once, where pydantic's way takes several times as long for every row."""
            try:
                return object.__getattribute__(self, "__pydantic_private__")[name]
            except (AttributeError, TypeError, KeyError):
                return super().__getattr__(name)


def is_runtime_parameter(field: FieldInfo) -> bool:
    """Whether a field is annotated as a runtime parameter."""
    inner = (mark for part in parts(field.annotation) for mark in getattr(part, "__metadata__", ()))
    return any(isinstance(mark, RuntimeParameterMarker) for mark in (*field.metadata, *inner))


def missing_runtime_parameters(model: BaseModel) -> list[str]:
    """Runtime parameters that have neither a value nor a default: `factor`, `llm.generation_kwargs.temperature`."""
    missing = []
    for name, field in type(model).model_fields.items():
        value, shown = getattr(model, name), field.alias or name
        if is_runtime_parameter(field) and field.is_required() and value is None:
            missing.append(shown)
        missing += [
            f"{shown}.{key}" for key, optional in parameter_keys(model, name) if not optional and key not in value
        ]
        for place, inner in _models_in(value):
            missing += [".".join((shown, *place, path)) for path in missing_runtime_parameters(inner)]
    return missing


def check_runtime_parameters(steps: Mapping[str, BaseModel]) -> None:
    """Checks for values that a run needs but that are missing.

    Raises:
        SpecFault: names all of them, and how to give them.
    """
    missing = [(name, path) for name, step in steps.items() for path in missing_runtime_parameters(step)]
    if not missing:
        return
    example: dict[str, Any] = {}
    for name, path in missing:
        keys, inner = path.split("."), example.setdefault(name, {})
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = ...
    faults = ", ".join(f"step '{name}' is missing its runtime parameter '{path}'" for name, path in missing)
    options = " ".join(f"--set {name}.{path}=VALUE" for name, path in missing)
    shown = repr(example).replace("Ellipsis", "...")
    raise SpecFault(
        f"{faults}; give {'it a value' if len(missing) == 1 else 'them values'} when the pipeline is run: "
        f"pipeline.run(parameters={shown}), or {options} on the command line",
        ("steps", missing[0][0]),
    )


def runtime_parameters_info(model: BaseModel) -> list[dict[str, Any]]:
    """The runtime parameters of a step or of something in it, as distilabel lists them.

    Returns:
        Mappings with `name`, `optional` and, where there is one, `description`; with `keys` where the parameter is a
        mapping of which the keys are known. What holds runtime parameters of its own, such as an LLM, has `name` and
        `runtime_parameters_info`: a list again, or a mapping of lists where there are several, by key or index.
    """
    found: list[dict[str, Any]] = []
    for name, field in type(model).model_fields.items():
        value, shown = getattr(model, name), field.alias or name
        inside = {
            ".".join(place): listed for place, inner in _models_in(value) if (listed := runtime_parameters_info(inner))
        }
        if inside:
            found.append({"name": shown, "runtime_parameters_info": inside.get("", inside)})
        elif is_runtime_parameter(field):
            entry: dict[str, Any] = {"name": shown, "optional": not field.is_required()}
            if field.description:
                entry["description"] = " ".join(field.description.split())
            if keys := [{"name": key, "optional": optional} for key, optional in parameter_keys(model, name)]:
                entry["keys"] = keys
            found.append(entry)
    return found


def field_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model in a field's annotation, alone or with None."""
    for part in parts(field.annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def parts(annotation: Any) -> tuple[Any, ...]:
    """An annotation, and the members of its union."""
    return (annotation, *(get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()))


def _awaited(cls: type[BaseModel], data: Mapping[str, Any]) -> dict[str, str]:
    """The runtime parameters without a default that `data` lacks: name in a spec -> field."""
    return {
        field.alias or name: name
        for name, field in cls.model_fields.items()
        if field.is_required() and is_runtime_parameter(field) and not {name, field.alias} & data.keys()
    }


def _filled(cls: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with None for missing values; also in mappings that become plain models, which do not expect them."""
    given = {**data, **dict.fromkeys(_awaited(cls, data))}
    for name, field in cls.model_fields.items():
        key, model = field.alias if field.alias in given else name, field_model(field)
        if isinstance(inner := given.get(key), dict) and model and not issubclass(model, RuntimeParametersMixin):
            given[key] = _filled(model, inner)
    return given


def parameter_keys(model: BaseModel, name: str) -> list[tuple[str, bool]]:
    """The known keys of a mapping in a field, and whether each is optional."""
    known = isinstance(model, RuntimeParametersMixin) and isinstance(getattr(model, name), Mapping)
    return list(model.runtime_parameter_keys(name).items()) if known else []  # type: ignore[attr-defined]


def _models_in(value: Any) -> Iterator[tuple[tuple[str, ...], BaseModel]]:
    """The models in the value of a field, with their places: () for the value itself, else a key or an index."""
    if isinstance(value, BaseModel):
        yield (), value
        return
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        if isinstance(item, BaseModel):
            yield (str(key),), item
