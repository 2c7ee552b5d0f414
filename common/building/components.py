"""The models in a step: the step, those in its fields, such as its LLM, and those in theirs, to any depth.

One walk serves every question: which code counts, which models are called, what a host lacks. It follows the declared
types of the fields and never enters rows, however many there are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import IntEnum
from pathlib import PurePath
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel

from common.llms.model_client import ModelClient
from common.steps.base import BaseStep
from common.steps.retry import RetryPolicy

Place = tuple[str | int, ...]
"""Where a model is below a step: fields, keys and indices; empty for the step itself."""


_PLAIN = (str, bytes, bytearray, int, float, complex, NoneType, PurePath, date, time, timedelta, Decimal)


class Holds(IntEnum):
    """The kind of values that a field may hold."""

    NO_MODEL = 0
    ANYTHING = 1
    """Undeclared. Mappings in a list are rows, whose cells are data."""
    MODELS = 2


def components(model: BaseModel) -> Iterator[tuple[Place, BaseModel]]:
    """A step and the models in it, in the order of their fields, also in lists and mappings.

    A field declared to hold models (`list[dict[str, LLM]]`) is searched as a whole. In a field that may hold anything
    (`list[dict[str, Any]]`), mappings in a list are taken for rows and skipped.
    """
    yield from _within(model, ())


def models_in(step: BaseModel) -> list[tuple[Place, ModelClient]]:
    """The models that a step asks, LLMs and embeddings, including those in other models, with their places."""
    return [(place, model) for place, model in components(step) if isinstance(model, ModelClient)]


def retry_policy(step: BaseStep) -> RetryPolicy:
    """That of a step with its models. It searches the step, so make it once, not for each batch."""
    return RetryPolicy.of(step, (model for _, model in models_in(step)))


def _within(model: BaseModel, place: Place) -> Iterator[tuple[Place, BaseModel]]:
    yield place, model
    for name, field in type(model).model_fields.items():
        if holds := held_by(field.annotation):
            yield from _models(getattr(model, name, None), (*place, name), holds)


def _models(value: object, place: Place, holds: Holds) -> Iterator[tuple[Place, BaseModel]]:
    if isinstance(value, BaseModel):
        yield from _within(value, place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _models(item, (*place, key if isinstance(key, int) else str(key)), holds)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if holds is Holds.MODELS or not isinstance(item, dict | Mapping):  # the check for a dict is faster
                yield from _models(item, (*place, index), holds)


def held_by(annotation: Any, within: tuple[Any, ...] = ()) -> Holds:
    """What a field of this annotation may hold, at any depth.

    Args:
        within: the enclosing `TypedDict`s, which may be recursive.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal or annotation in (None, Ellipsis, *within):
        return Holds.NO_MODEL
    if origin is Annotated:
        return held_by(inner[0], within)
    if is_typeddict(annotation):
        return max((held_by(column, (*within, annotation)) for column in _columns(annotation)), default=Holds.NO_MODEL)
    if _is_foreign(origin or annotation):
        return Holds.MODELS
    if inner and not hasattr(origin, "__value__"):  # only a type alias has it, which may be recursive
        return max(held_by(each, within) for each in inner)
    return Holds.NO_MODEL if isinstance(annotation, type) and issubclass(annotation, _PLAIN) else Holds.ANYTHING


def _is_foreign(cls: object) -> bool:
    """Whether it is a class from outside Python: a model, or a protocol of models."""
    return isinstance(cls, type) and cls.__module__.partition(".")[0] not in sys.stdlib_module_names


def _columns(row: Any) -> tuple[Any, ...]:
    try:
        return tuple(get_type_hints(row).values())
    except Exception:  # a name imported for type checkers only
        return (Any,)
