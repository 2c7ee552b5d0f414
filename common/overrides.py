"""`--set step.param=value`: a parameter of a spec, from the command line."""

from __future__ import annotations

from typing import Any

from common.errors import SpecError
from common.faults import Loc, hint
from common.yaml_source import YamlSource


def apply_override(data: dict[str, Any], text: str) -> tuple[dict[str, Any], Loc]:
    """Sets one value in the plain data of a spec, which is changed in place.

    Args:
        text: `step.param=value`; `param` may lead into mappings, which are made where they are missing.

    Returns:
        The data, and the place that was set.

    Raises:
        SpecError: not of that form, an unknown step, a value that is not YAML, or a way through something that is no
            mapping. The value is not repeated: it may be a secret.
    """
    path, separator, value = text.partition("=")
    keys = path.strip().split(".")
    if not separator or len(keys) < 2 or not all(keys):
        raise SpecError(f"--set {path}: write it as step.param=value, such as generate.llm.model=my-model")
    steps = data["steps"]
    if keys[0] not in steps:
        raise SpecError(f"--set {path}: there is no step '{keys[0]}'{hint(keys[0], steps, 'the steps are')}")
    target = steps[keys[0]]
    for depth, key in enumerate(keys[1:-1], start=2):
        if target.get(key) is None:
            target[key] = {}
        target = target[key]
        if not isinstance(target, dict):
            raise SpecError(f"--set {path}: '{'.'.join(keys[:depth])}' is not a mapping")
    try:
        target[keys[-1]] = YamlSource.parse(value).data
    except SpecError as error:
        raise SpecError(f"--set {path}: {error.message}; put the value in quotes") from None
    return data, ("steps", *keys)
