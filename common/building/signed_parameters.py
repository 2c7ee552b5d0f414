"""The parameters of a step that decide its rows: without where its models are, and how fast or stubbornly it works.

A resumed run takes the new values of those that are left out. It is one walk for a step and for all that is in it, so
that an LLM counts alike wherever it is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from common.building.components import Holds, held_by
from common.building.cuda import CudaDevicePlacementMixin
from common.llms.base import LLM
from common.naming.catalogue import paths
from common.steps.base import BaseStep

_PLACEMENT = frozenset({"cuda_devices", "disable_cuda_device_placement"})
_OF_A_STEP = (
    frozenset({"resources", "concurrency", "retries", "backoff", "max_deliveries", "batch_timeout"}) | _PLACEMENT
)
_OF_AN_LLM = frozenset({"base_url", "timeout", "max_retries", "api_key_env"}) | _PLACEMENT


def signed_parameters(plain: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    """Those of a step, or of a model in it.

    Args:
        plain: as `dump_parameters` gives them: by the names that a spec has for them.
        model: has them.
    """
    fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
    outside = _outside(model)
    found = {}
    for key, value in plain.items():
        name = fields.get(key, key)
        if name in outside:
            continue
        field = type(model).model_fields.get(name)
        holds = held_by(field.annotation) if field is not None else Holds.NO_MODEL
        found[key] = _signed(value, getattr(model, name), holds) if holds else value
    return found


def parameters_as_written(params: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a step that nobody here can build: a parameter that has a `type` is taken for an LLM.

    So is what is deeper in one where the type can be that of an LLM; data may have a `type` as well.
    """
    return {name: _as_written(value, alone=True) for name, value in params.items() if name not in _OF_A_STEP}


def _outside(model: BaseModel) -> frozenset[str]:
    if isinstance(model, BaseStep):
        return _OF_A_STEP
    if isinstance(model, LLM):
        return _OF_AN_LLM
    return _PLACEMENT if isinstance(model, CudaDevicePlacementMixin) else frozenset()


def _signed(plain: Any, held: object, holds: Holds) -> Any:
    if isinstance(held, BaseModel) and isinstance(plain, dict):
        return signed_parameters(plain, held)
    if isinstance(held, Mapping) and isinstance(plain, dict):
        items = {str(key): item for key, item in held.items()}
        return {name: _signed(value, items.get(name), holds) for name, value in plain.items()}
    if isinstance(held, list | tuple) and isinstance(plain, list) and len(held) == len(plain):
        rows = (dict, Mapping) if holds is Holds.ANYTHING else ()
        pairs = zip(plain, held, strict=True)
        return [value if isinstance(item, rows) else _signed(value, item, holds) for value, item in pairs]
    return plain


def _as_written(value: Any, *, alone: bool = False) -> Any:
    """Of a value, which is a whole parameter if it is alone."""
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    is_llm = isinstance(kind, str) and (alone or kind in paths("LLM") or ":" in kind)
    left_out = _OF_AN_LLM if is_llm else frozenset()
    return {name: _as_written(item, alone=is_llm) for name, item in value.items() if name not in left_out}
