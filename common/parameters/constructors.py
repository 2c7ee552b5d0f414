"""The error of a constructor about an unknown parameter: the same as for one in a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.errors import Loc, UnknownType
from common.naming.registry import NamedByType
from common.parameters.runtime_parameters import parts
from common.words.faults import dotted, hint, known_fields

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class ExplainedType(ModelMetaclass):
    """The metaclass of models that programs construct."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        """Raises ValidationError; for an almost valid name it suggests the right one."""
        try:
            return super().__call__(*args, **given)
        except ValidationError as error:
            if all(detail["type"] != "extra_forbidden" for detail in error.errors(include_url=False)):
                raise
            raise _explained(cls, error, given) from None  # type: ignore[arg-type]


def nested_fields(
    cls: type[BaseModel], params: Mapping[str, Any], allow: Sequence[str] = ("*",)
) -> dict[Loc, Sequence[str]]:
    """The known names in a mapping that becomes a model: for `llm` by its `type`, for others by annotation."""
    found: dict[Loc, Sequence[str]] = {}
    for name, field in cls.model_fields.items():
        key = field.alias if field.alias is not None and field.alias in params else name
        for loc, value, model in _mappings(field.annotation, params.get(key)):
            more: tuple[str, ...] = ()
            if issubclass(model, NamedByType) and isinstance(type_name := value.get("type"), str):
                try:
                    model, more = model._namespace().resolve(type_name, allow), ("type",)
                except UnknownType:
                    continue
            found[(key, *loc)] = [*known_fields(model), *more]
            found |= {(key, *loc, *inner): names for inner, names in nested_fields(model, value, allow).items()}
    return found


def _mappings(annotation: Any, given: Any) -> Iterator[tuple[Loc, dict[str, Any], type[BaseModel]]]:
    """The mappings in a value that become models: the value itself, or those that it has by names."""
    if not isinstance(given, dict):
        return
    if (model := _model_for(annotation, given)) is not None:
        yield (), given, model
    for part in parts(annotation):
        if get_origin(part) is dict:
            for name, value in given.items():
                if isinstance(value, dict) and (model := _model_for(get_args(part)[1], value)) is not None:
                    yield (name,), value, model


def _model_for(annotation: Any, given: Mapping[str, Any]) -> type[BaseModel] | None:
    """The model that an annotation has for a mapping: of several, the one whose name the mapping gives."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    models = [part for part in parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    named = [model for model in models if _is_named(model, given)]
    return next(iter(named if len(models) > 1 else models), None)


def _is_named(model: type[BaseModel], given: Mapping[str, Any]) -> bool:
    names = [(name, field.annotation) for name, field in model.model_fields.items()]
    return any(get_origin(kind) is Literal and given.get(name) in get_args(kind) for name, kind in names)


def _explained(cls: type[BaseModel], error: ValidationError, given: dict[str, Any]) -> ValidationError:
    fields = {(): known_fields(cls), **nested_fields(cls, given)}
    found: list[InitErrorDetails] = []
    for detail in error.errors(include_url=False):
        loc = detail["loc"]
        message = detail["msg"]
        if detail["type"] == "extra_forbidden":
            known = fields.get(loc[:-1], ())
            message = f"{cls.__name__} has no parameter '{dotted(loc)}'{hint(str(loc[-1]), known, 'it has')}"
        kind: Any = PydanticCustomError(detail["type"], "{message}", {"message": message})
        found.append({"type": kind, "loc": loc, "input": detail["input"]})
    return ValidationError.from_exception_data(error.title, found)
