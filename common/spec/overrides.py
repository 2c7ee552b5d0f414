"""Parameters given when a pipeline is run: `--set step.param=value`, and `{step: {param: value}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from common.errors import Loc, SpecError
from common.spec.yaml_source import YamlSource
from common.words.faults import dotted, hint, shown
from common.words.redaction import hide_secrets, hide_to_the_end

_NO_PARAMETERS = ("type", "after", "name")


def apply_override(data: dict[str, Any], text: str) -> tuple[dict[str, Any], Loc]:
    """Sets one value in the plain data of a spec, in place.

    Args:
        text: `step.param=value`; `param` may lead into lists and mappings; missing mappings are created.

    Returns:
        The data, and the place that was set.

    Raises:
        SpecError: not of that form, an unknown step, a value that is not YAML, or a way through something that is
            neither mapping nor list. The value is not repeated: it may be a secret.
    """
    path, separator, value = text.partition("=")
    keys = path.strip().split(".")
    path = hide_to_the_end(path)
    if not separator or len(keys) < 2 or not all(keys):
        raise SpecError(f"--set {path}: write it as step.param=value, for example generate.llm.model=my-model")
    steps = data["steps"]
    if keys[0] not in steps:
        raise SpecError(
            f"--set {path}: there is no step '{hide_to_the_end(keys[0])}'{hint(keys[0], steps, 'the steps are')}"
        )
    target: Any = steps[keys[0]]
    loc: Loc = ("steps", keys[0])
    for key in keys[1:-1]:
        loc += (_place(target, key, path),)
        if isinstance(target, dict) and target.get(key) is None:
            target[key] = {}
        target = target[loc[-1]]
        if not isinstance(target, dict | list):
            raise SpecError(f"--set {path}: '{hide_to_the_end(dotted(loc[1:]))}' is not a mapping")
    loc += (_place(target, keys[-1], path),)
    try:
        target[loc[-1]] = YamlSource.parse(value).data
    except SpecError as error:
        raise SpecError(f"--set {path}: {hide_secrets(error.message)}; put the value in quotes") from None
    return data, loc


def _place(target: dict[str, Any] | list[Any], key: str, path: str) -> str | int:
    if isinstance(target, dict):
        return key
    if not key.isdigit() or int(key) >= len(target):
        raise SpecError(f"--set {path}: '{hide_to_the_end(key)}' is not an index of a list of {len(target)}")
    return int(key)


def apply_parameters(data: dict[str, Any], parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Sets parameters given by a program, `{step: {param: value}}`, in the plain data of a spec, in place.

    A mapping is merged into the existing one: `{"generate": {"llm": {"model": m}}}` leaves the other options of
    the LLM unchanged. One with another `type` replaces it. The keys of a mapping may be indexes of a list.

    Raises:
        SpecError: an unknown step, not a parameter, or not plain data. An unknown parameter is found when
            the step is built.
    """
    steps = data["steps"]
    for name, values in parameters.items():
        if name not in steps:
            raise SpecError(f"parameters: there is no step '{name}'{hint(str(name), steps, 'the steps are')}")
        if not isinstance(values, Mapping):
            raise SpecError(f"parameters: those of step '{name}' must be a mapping, not {shown(values)}")
        for key in _NO_PARAMETERS:
            if key in values:
                raise SpecError(f"parameters: '{key}' of step '{name}' is not a parameter; change it in the pipeline")
        steps[name] = _merged(steps[name], values, (name,))


def _merged(given: Any, value: Any, loc: Loc) -> Any:
    """`value`, merged with `given` where both are mappings; `given` itself is not changed."""
    if isinstance(value, BaseModel):
        raise SpecError(f"parameters: '{dotted(loc)}' is a {type(value).__name__}; give its parameters as a mapping")
    if not isinstance(value, Mapping):
        return value
    if isinstance(given, list) and all(str(key).isdigit() and int(key) < len(given) for key in value):
        changed = {int(key): _merged(given[int(key)], item, (*loc, int(key))) for key, item in value.items()}
        return [changed.get(index, item) for index, item in enumerate(given)]
    replaced = not isinstance(given, Mapping) or value.get("type", given.get("type")) != given.get("type")
    merged = {} if replaced else dict(given)
    for key, item in value.items():
        merged[key] = _merged(merged.get(key), item, (*loc, key))
    return merged
