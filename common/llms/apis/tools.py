"""Tools of chat completions, and which of them to call, in the words of other APIs; theirs stay as they are. Pure.

Sources: the API references of OpenAI ("Chat", "Responses") and Anthropic ("Tool use").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NO_PARAMETERS = {"type": "object", "properties": {}}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def responses_tools(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a call of the Responses API, where a function is strict unless it says otherwise."""

    def tool(function: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "function", "strict": False, **function}

    choice = options.get("tool_choice")
    if isinstance(choice, Mapping) and isinstance(function := choice.get("function"), Mapping):
        options = {**options, "tool_choice": {"type": "function", **function}}
    return _with_tools(options, tool)


def anthropic_tools(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a call of the Messages API."""

    def tool(function: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: function[name] for name in ("name", "description") if function.get(name)}
        return {**told, "input_schema": function.get("parameters") or _NO_PARAMETERS}

    choice = options.get("tool_choice")
    if isinstance(choice, str):
        options = {**options, "tool_choice": {"type": _CHOICES.get(choice, choice)}}
    elif isinstance(choice, Mapping) and isinstance(function := choice.get("function"), Mapping):
        options = {**options, "tool_choice": {"type": "tool", **function}}
    return _with_tools(options, tool)


def _with_tools(options: dict[str, Any], written: Any) -> dict[str, Any]:
    if not isinstance(tools := options.get("tools"), list):
        return options
    return {**options, "tools": [written(each["function"]) if _is_of_chat(each) else each for each in tools]}


def _is_of_chat(tool: Any) -> bool:
    return isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping)
