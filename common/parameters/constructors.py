"""The error of a constructor about an unknown parameter: the same as for one in a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.errors import Loc, UnknownType
from common.naming.registry import NamedByType
from common.parameters.runtime_parameters import field_model
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
) -> dict[Loc, set[str]]:
    """The known names in a mapping that becomes a model: for `llm` by its `type`, for others by annotation."""
    found: dict[Loc, set[str]] = {}
    for name, field in cls.model_fields.items():
        key = field.alias if field.alias is not None and field.alias in params else name
        value, model, more = params.get(key), field_model(field), set[str]()
        if not isinstance(value, dict) or model is None:
            continue
        if issubclass(model, NamedByType) and isinstance(type_name := value.get("type"), str):
            try:
                model, more = model._namespace().resolve(type_name, allow), {"type"}
            except UnknownType:
                continue
        found[(key,)] = known_fields(model) | more
        found |= {(key, *loc): names for loc, names in nested_fields(model, value, allow).items()}
    return found


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
