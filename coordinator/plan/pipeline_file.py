"""A pipeline as a file or as plain data: read into steps, written as text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from common.building.build import build_steps
from common.building.build_routing import build_routing
from common.code.import_names import script_module
from common.errors import SpecError, SpecFault
from common.naming.registry import check_shadowing, folder_modules
from common.routing import RoutingBatchFunction
from common.spec.spec import LoadedSpec, PipelineSpec, load_spec, parse_spec
from common.spec.yaml_source import YamlSource
from common.steps.base import BaseStep
from common.steps.graph import current_graph


@dataclass(frozen=True, slots=True)
class Parts:
    """The elements of a pipeline: its spec, its steps by name, and its routing functions by routing step."""

    spec: PipelineSpec
    steps: Mapping[str, BaseStep]
    routing: Mapping[str, RoutingBatchFunction]


def read_dict(data: Mapping[str, Any], allow: Sequence[str]) -> Parts:
    """Builds steps from plain data, in Penstock's format or distilabel's; paths start in the current folder.

    Raises:
        SpecError
    """
    return _build(parse_spec("", YamlSource("", dict(data), None), Path.cwd()), _with_folder(Path.cwd(), allow))


def read_file(path: str, allow: Sequence[str]) -> Parts:
    """Builds steps from a file or a URL; paths start in the folder of the file, or in the current one for a URL.

    Raises:
        SpecError: with file and line.
    """
    if "://" in path:
        return _build(parse_spec(path, YamlSource.parse(_fetch(path), path), Path.cwd()), allow)
    loaded = load_spec(Path(path))
    return _build(loaded, _with_folder(loaded.folder, allow))


def spec_text(data: Mapping[str, Any], format: Literal["yaml", "json"]) -> str:
    """A dump as text for a file."""
    if format == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(data), stream)
    return stream.getvalue()


def _with_folder(folder: Path, allow: Sequence[str]) -> tuple[str, ...]:
    """Modules of the folder and of the running script may be imported as well."""
    check_shadowing(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    script = script_module()
    return (*allow, *folder_modules(folder), *([script] if script else []))


def _build(loaded: LoadedSpec, allow: Sequence[str]) -> Parts:
    spec = loaded.spec
    token = current_graph.set(None)  # the steps go to the pipeline that is being read, not to one that is being written
    try:
        steps = build_steps(spec, allow=allow, base_dir=loaded.folder)
        for name, step_spec in spec.steps.items():
            for index, before in enumerate(step_spec.after):
                if before not in spec.steps:
                    raise SpecFault(
                        f"step '{name}' comes after '{before}', which is not a step", ("steps", name, "after", index)
                    )
        return Parts(spec, steps, build_routing(spec, allow=allow))
    except SpecFault as fault:
        raise loaded.source.error(fault) from fault.__cause__
    finally:
        current_graph.reset(token)


def _fetch(url: str) -> str:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            return bytes(file.read()).decode("utf-8-sig")
    except Exception as error:  # each kind of store has its own errors
        raise SpecError(f"cannot read the pipeline: {type(error).__name__}: {error}", file=url) from error
