"""Converts the format in which distilabel dumps a pipeline (`pipeline.steps[].step`, `connections`) to ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import Loc, SpecFault
from common.naming.catalogue import STEP_KINDS, Kind, paths
from common.words.faults import nearest

_NOT_PARAMETERS = frozenset(
    {"type_info", "runtime_parameters_info", "jobs_ids", "name", "is_distiset", "keep_in_memory"}
)
_DISTILABEL_ONLY: Mapping[str, Any] = {
    "use_cache": True,
    "use_offline_batch_generation": False,
    "offline_batch_generation_block_until_done": None,
    "use_magpie_template": False,
    "use_default_structured_output": False,
    "disable_cuda_device_placement": False,
    "cuda_devices": "auto",
    "group_generations": False,
    "num_generations": 1,
    "add_raw_output": True,
    "add_raw_input": True,
}
"""Fields of every distilabel dump: dropped at distilabel's default; our classes refuse any other value."""
_NONE_IS_A_VALUE = frozenset({"system_prompt", "default_label"})
"""Fields that have another default here: None is kept, and says that there is none."""


def is_distilabel(data: Any) -> bool:
    """Whether a parsed file looks like a distilabel dump."""
    return isinstance(data, dict) and isinstance(data.get("pipeline"), dict) and "steps" in data["pipeline"]


def from_distilabel(data: dict[str, Any]) -> tuple[dict[str, Any], dict[Loc, Loc]]:
    """A distilabel dump in our format, and the place of each of our steps in the dump.

    Raises:
        SpecFault: types without a counterpart, all in one message, or a dump of unknown shape.
    """
    pipeline = data["pipeline"]
    moved: dict[Loc, Loc] = {("name",): ("pipeline", "name"), ("steps",): ("pipeline", "steps")}
    steps: dict[str, Any] = {}
    unknown: dict[str, Loc] = {}
    try:
        for index, entry in enumerate(pipeline["steps"]):
            name, loc = str(entry["name"]), ("pipeline", "steps", index, "step")
            moved["steps", name] = loc
            steps[name] = _parameters(entry["step"], loc, STEP_KINDS, unknown)
        _connect(pipeline.get("connections") or [], steps)
        routing = dict(_routing(pipeline.get("routing_batch_functions") or [], moved))
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecFault(
            "this looks like a distilabel pipeline but does not have the shape of its dumps "
            f"({type(error).__name__}: {error}); write it again with Pipeline.save",
            ("pipeline",),
        ) from None
    if unknown:
        raise _unknown_types(unknown)
    found = {"name": _usable(str(pipeline.get("name"))), "description": pipeline.get("description"), "steps": steps}
    return found | ({"routing": routing} if routing else {}), moved


def _parameters(given: dict[str, Any], loc: Loc, kinds: tuple[Kind, ...], unknown: dict[str, Loc]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _type_name(given["type_info"], (*loc, "type_info"), kinds, unknown)}
    for key, value in given.items():
        if key in _NOT_PARAMETERS or (value is None and key not in _NONE_IS_A_VALUE):
            continue
        if key in _DISTILABEL_ONLY and value == _DISTILABEL_ONLY[key]:
            continue
        if isinstance(value, dict) and "type_info" in value:
            found[key] = _parameters(value, (*loc, key), ("LLM", "embeddings"), unknown)
        elif key in ("resources", "input_mappings", "output_mappings", "generation_kwargs"):
            if kept := {inner: other for inner, other in value.items() if other is not None}:
                found[key] = kept
        else:
            found[key] = value
    return found


def _type_name(type_info: dict[str, Any], loc: Loc, kinds: tuple[Kind, ...], unknown: dict[str, Loc]) -> str:
    module, name = str(type_info["module"]), str(type_info["name"])
    if module.partition(".")[0] not in ("distilabel", "__main__"):
        return f"{module}:{name}"  # the user's own class, which may have been ported to our contract
    if name not in paths(*kinds) or module == "__main__":
        unknown.setdefault(f"{module}.{name}", loc)
    return name


def _connect(connections: list[dict[str, Any]], steps: dict[str, Any]) -> None:
    for connection in connections:
        for target in connection["to"]:
            steps[target].setdefault("after", []).append(connection["from"])


def _routing(functions: list[dict[str, Any]], moved: dict[Loc, Loc]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, entry in enumerate(functions):
        info = entry["type_info"]
        name = info["name"] if info["module"].startswith("distilabel.") else f"{info['module']}:{info['name']}"
        moved["routing", entry["step"]] = ("pipeline", "routing_batch_functions", index)
        yield entry["step"], {"function": name, **(info.get("kwargs") or {})}


def _usable(name: str) -> str:
    """distilabel allows any name; ours is used in paths and keys."""
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", name).strip("-._")[:64] or "pipeline"


def _unknown_types(unknown: dict[str, Loc]) -> SpecFault:
    parts = []
    for path in sorted(unknown):
        module, _, name = path.rpartition(".")
        if module == "__main__":
            parts.append(f"{path} (a class in a script: move it into a module)")
        elif close := nearest(name, paths(*STEP_KINDS, "LLM", "embeddings")):
            parts.append(f"{path} (the closest is {close})")
        else:
            parts.append(path)
    return SpecFault(
        f"these distilabel types have no counterpart here: {', '.join(parts)}; replace them with types that have "
        "one, or with your own classes (module: mysteps, name: MyStep)",
        next(iter(unknown.values())),
    )
