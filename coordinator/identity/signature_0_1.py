"""The signature that version 0.1 gave a pipeline, so that an unfinished run of that version is found and named.

Nothing here changes any more. A table holds what 0.1 had as the source of its own classes. For a class derived from one
of these, the source is unknown, and there is no signature.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from common.building.dump import dump_parameters, dump_routing
from common.building.stand_in import Undescribed
from common.code.import_names import importable_module
from common.code.source import declared_version
from common.errors import UsageError
from common.location import OUR_PACKAGES
from common.naming.registry import spec_type
from common.routing import RoutingBatchFunction, sample_n_steps
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from common.steps.loading.file_sources import FileSource
from coordinator.plan.load import Prepared

_SOURCES = {
    "LoadDataFromDicts": "08c37f9c155fd83d",
    "LoadDataFromFile": "de10f8b924a6ae23",
    "LoadDataFromDisk": "ac3bbeac46188725",
    "LoadDataFromHub": "f5b88c235cba9d24",
    "DataSampler": "b8ef80a95f844367",
    "KeepColumns": "c6b2f48bec709afb",
    "ExpandColumns": "10be1a6f9e017621",
    "MergeColumns": "206e7db183d3102f",
    "GroupColumns": "f0642255c98a9156",
    "CombineOutputs": "63f1cadb2a4e88e5",
    "TruncateTextColumn": "4e4a84287dab1781",
    "MinHashDedup": "204c1705ad235809",
    "PushToHub": "a4b314cb9d86e99c",
    "ConversationTemplate": "e7406b18fe4c448c",
    "FormatTextGenerationSFT": "c8d99aba6951dd3e",
    "FormatChatGenerationSFT": "445ee1a19f014ef3",
    "FormatTextGenerationDPO": "11c3c00091e38839",
    "FormatChatGenerationDPO": "ba52731a4d5daebe",
    "TextGeneration": "b6a38af600f2eb00",
    "OpenAILLM": "b71134aadea1125f",
    "EchoLLM": "501c023fe8532970",
}
_FOREIGN = sys.stdlib_module_names | {"pydantic", "pydantic_core"}
_PLACEMENT = {"cuda_devices", "disable_cuda_device_placement"}
_OUTSIDE = {"resources", "concurrency", "retries", "backoff", "max_deliveries", "batch_timeout"} | _PLACEMENT
_OUTSIDE_LLM = {"timeout", "max_retries", "api_key_env"} | _PLACEMENT
_ALWAYS = ("input_mappings", "output_mappings", "on_error", "max_failure_rate")
_HEAD_BYTES = 64 << 10


def signature_0_1(prepared: Prepared, options: Mapping[str, Any]) -> str | None:
    """32 hex digits; None if they cannot be known."""
    spec = prepared.spec
    try:
        content = {
            "pipeline": spec.name,
            "steps": {name: _step(prepared, name, step) for name, step in prepared.steps.items()},
            "routing": {
                name: {**dump_routing(function), "source": _routing(function)}
                for name, function in prepared.routing.items()
            },
            "load_groups": spec.load_groups,
            "enable_metadata": spec.enable_metadata,
            "options": {name: value for name, value in options.items() if value is not None},
        }
    except (_Unknown, OSError):
        return None
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class _Unknown(Exception):
    """What 0.1 had as the source of a class."""


def _step(prepared: Prepared, name: str, step: BaseStep) -> dict[str, Any]:
    spec = prepared.spec.steps[name]
    if isinstance(step, Undescribed):
        given = {name: _without_limits(value) for name, value in spec.params.items() if name not in _OUTSIDE}
        return {"type": spec.type, "after": spec.after, "params": given}
    try:
        parameters = dump_parameters(step)
    except UsageError:
        parameters = dict(spec.params)
    return {
        "type": spec_type(type(step)),
        "after": spec.after,
        "params": {
            name: _without_limits(value)
            for name, value in parameters.items()
            if name not in _OUTSIDE and name not in _ALWAYS
        },
        "batch_size": step.batch_size
        if isinstance(step, GeneratorStep)
        else step.input_batch_size
        if isinstance(step, Step | AsyncStep)
        else None,
        "source": sorted({_source(cls) for cls in _classes(step)}),
        "fingerprint": _fingerprint(step) if isinstance(step, GeneratorStep) else "",
        **{name: getattr(step, name) for name in _ALWAYS},
    }


def _without_limits(value: Any) -> Any:
    if not isinstance(value, dict) or "type" not in value:
        return value
    return {name: option for name, option in value.items() if name not in _OUTSIDE_LLM}


def _classes(model: BaseModel) -> Iterator[type]:
    yield type(model)
    for value in vars(model).values():
        if isinstance(value, BaseModel):
            yield from _classes(value)


def _source(cls: type) -> str:
    if known := _SOURCES.get(spec_type(cls)):
        return known
    digest = hashlib.blake2b(digest_size=8)
    for base in cls.__mro__:
        if declared_version(base) is not None:
            raise _Unknown
        if base.__module__.partition(".")[0] in {*OUR_PACKAGES, *_FOREIGN}:
            continue
        digest.update(f"{importable_module(base.__module__, base.__qualname__)}:{base.__qualname__}\0".encode())
        digest.update(_file_of(base, base.__qualname__))
    return digest.hexdigest()


def _routing(function: RoutingBatchFunction) -> str:
    maker = inspect.unwrap(function.factory or function.function)
    if maker is sample_n_steps:
        return ""
    return hashlib.blake2b(_file_of(maker, function.name), digest_size=8).hexdigest()


def _file_of(target: Any, name: str) -> bytes:
    try:
        return Path(inspect.getfile(target)).read_bytes()
    except (TypeError, OSError):
        return repr(name).encode()


def _fingerprint(step: GeneratorStep) -> str:
    """0.1 also included the time of a file."""
    files = getattr(step, "_files", None)
    if spec_type(type(step)) not in _SOURCES or files is None:
        return step.fingerprint()
    lines = "\n".join(map(_file_line, files()))
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


def _file_line(source: FileSource) -> str:
    with source.open_raw() as stream:
        head = hashlib.blake2b(stream.read(_HEAD_BYTES), digest_size=16).hexdigest()
    try:
        modified = str(source.filesystem.modified(source.path).timestamp())
    except NotImplementedError:
        modified = ""
    return f"{PurePosixPath(source.path).name}\t{source.filesystem.size(source.path)}\t{modified}\t{head}"
