"""What a constructor says of a parameter that there is not: the same as is said of one in a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.faults import dotted, hint, known_fields

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class ExplainedType(ModelMetaclass):
    """The class of models that programs make by their constructors."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        """Raises ValidationError; of a name that is nearly right it says which one was meant."""
        try:
            return super().__call__(*args, **given)
        except ValidationError as error:
            if all(detail["type"] != "extra_forbidden" for detail in error.errors(include_url=False)):
                raise
            raise _explained(cls, error, given) from None  # type: ignore[arg-type]


def _explained(cls: type[BaseModel], error: ValidationError, given: dict[str, Any]) -> ValidationError:
    from common.build import nested_fields

    fields = {(): known_fields(cls), **nested_fields(cls, given, ("*",))}
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
