"""The parameters of a step that determine its rows: not where its models are, nor how fast or persistently it works.

A resumed run uses the new values of the omitted ones. One walk covers a step and everything in it, so an LLM counts the
same wherever it is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from common.building.components import Holds, held_by
from common.building.cuda import CudaDevicePlacementMixin
from common.llms.embeddings.base import Embeddings
from common.llms.model_client import ModelClient
from common.naming.catalogue import paths
from common.steps.argilla.base import ArgillaBase
from common.steps.base import BaseStep

_PLACEMENT = frozenset({"cuda_devices", "disable_cuda_device_placement"})
_OF_A_STEP = (
    frozenset(
        {
            "resources",
            "concurrency",
            "retries",
            "backoff",
            "max_deliveries",
            "batch_timeout",
            "use_cache",
            "parse_retries",
        }
    )
    | _PLACEMENT
)
_OF_AN_LLM = (
    frozenset(
        {"api_version", "deployment", "endpoint_namespace", "max_concurrent_requests", "follow_redirects"}
        | {"base_url", "timeout", "max_retries", "api_key_env", "provider", "default_headers", "stream"}
        | {"connect_timeout", "first_byte_timeout", "idle_timeout"}
    )
    | _PLACEMENT
)
_OF_ARGILLA = _OF_A_STEP | {"api_url", "api_key_env"}
_OF_EMBEDDINGS = _OF_AN_LLM | {"batch_size"}


def signed_parameters(plain: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    """The parameters of a step, or of a model in it.

    Args:
        plain: as `dump_parameters` returns them, under the names that a spec uses.
        model: the step or model.
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
    """The same for a step that cannot be built here: a parameter with a `type` is taken for a model.

    Values deeper in it count too if the type can be a model's; data may have a `type` as well.
    """
    return {name: _as_written(value, alone=True) for name, value in params.items() if name not in _OF_A_STEP}


def _outside(model: BaseModel) -> frozenset[str]:
    if isinstance(model, BaseStep):
        return _OF_ARGILLA if isinstance(model, ArgillaBase) else _OF_A_STEP
    if isinstance(model, ModelClient):
        return _OF_EMBEDDINGS if isinstance(model, Embeddings) else _OF_AN_LLM
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
    """The signed form of a value, which may be a whole parameter."""
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    is_model = isinstance(kind, str) and (alone or kind in paths("LLM", "embeddings") or ":" in kind)
    left_out = _OF_EMBEDDINGS if kind in paths("embeddings") else _OF_AN_LLM if is_model else frozenset()
    return {name: _as_written(item, alone=is_model) for name, item in value.items() if name not in left_out}
