"""The shape of a spec in a run hash, as JSON. Anyone who can write to the broker can put anything there."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from common.protocol.fields import first_problem
from common.protocol.step_name import StepName


class SpecShape(BaseModel):
    """The part of a spec that is read before it is built."""

    steps: dict[StepName, dict[str, Any]]


def check_spec(spec: object) -> None:
    """Raises ValueError for another shape; says where."""
    try:
        SpecShape.model_validate(spec)
    except ValidationError as error:
        raise ValueError(first_problem(error, "spec")) from None
