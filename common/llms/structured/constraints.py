"""How each endpoint is told the form of an answer, as data. Pure.

Sources: the reference of each API and server. vLLM takes `structured_outputs` since 0.11 and took `guided_regex`,
`guided_grammar` and `guided_choice` until 0.11; each version ignores the other's fields, so both are sent. JSON goes as
`response_format`, which all versions take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from common.llms.structured.closed import closed_schema
from common.llms.structured.strict import strict_schema
from common.llms.structured.structured_output import Format, StructuredOutput, root_of

TOOL = "answer"
"""Name of the tool that a model without another way must call."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a request has so that the answer has the form.

    Args:
        fields: of the request.
        is_whole: whether they say the whole form, so that the prompt need not.
        without: options that the endpoint refuses beside them.
    """

    fields: Mapping[str, Any]
    is_whole: bool = True
    without: tuple[str, ...] = ()


NOTHING = Constraint({}, is_whole=False)
"""The endpoint has no option for the form."""

_Way = Callable[[StructuredOutput], Constraint]


def constraint(form: StructuredOutput, dialect: str) -> Constraint:
    """What a request has for the form.

    Args:
        dialect: a key of `DIALECTS`; any other has no option for any form.
    """
    way = DIALECTS.get(dialect, {}).get(form.format) if form.constrain else None
    return way(form) if way else NOTHING


def text_of_tool(tool_calls: Any) -> str | None:
    """What the model gave to the tool that it had to call, as JSON; None if it called none."""
    for call in tool_calls if isinstance(tool_calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and function.get("name") == TOOL:
            given = function.get("arguments")
            return given if isinstance(given, str) else orjson.dumps(given).decode()
    return None


def _name(form: StructuredOutput) -> str:
    title = str(root_of(form.schema_).get("title") or TOOL)
    return re.sub(r"[^A-Za-z0-9_-]", "_", title)[:64]


def _json_schema(form: StructuredOutput) -> Constraint:
    return Constraint({"response_format": {"type": "json_schema", "json_schema": _named(form)}})


def _named(form: StructuredOutput) -> dict[str, Any]:
    """The schema with its name, and whether it is strict."""
    schema = _rooted(form.schema_)
    strict = strict_schema(schema)
    return {"name": _name(form), "schema": strict or schema, **({"strict": True} if strict else {})}


def _rooted(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same schema without a reference at its top, where APIs look for `type: object`."""
    if "$ref" not in schema:
        return schema
    return {**root_of(schema), **{name: value for name, value in schema.items() if name != "$ref"}}


def _is_object(form: StructuredOutput) -> bool:
    return root_of(form.schema_).get("type") == "object"


def _json_schema_of_an_object(form: StructuredOutput) -> Constraint:
    return _json_schema(form) if _is_object(form) else NOTHING


def _any_object(form: StructuredOutput) -> Constraint:
    field = {"response_format": {"type": "json_object"}}
    return Constraint(field, is_whole=False) if _is_object(form) else NOTHING


def _forced_tool(form: StructuredOutput) -> Constraint:
    if not _is_object(form):
        return NOTHING
    tool = {"name": TOOL, "description": "Gives the answer.", "input_schema": _rooted(form.schema_)}
    return Constraint({"tools": [tool], "tool_choice": {"type": "tool", "name": TOOL}}, without=("thinking",))


def _output_config(form: StructuredOutput) -> Constraint:
    found = closed_schema(_rooted(form.schema_)) if _is_object(form) else None
    if found is None:
        return NOTHING
    schema, is_whole = found
    return Constraint({"output_config": {"format": {"type": "json_schema", "schema": schema}}}, is_whole)


def _field(name: str) -> _Way:
    return lambda form: Constraint({name: form.schema_})


def _vllm(form: StructuredOutput) -> Constraint:
    return Constraint({"structured_outputs": {form.format: form.schema_}, f"guided_{form.format}": form.schema_})


def _one_of(form: StructuredOutput) -> str:
    return "(" + "|".join(map(re.escape, form.schema_)) + ")"


def _alternatives(form: StructuredOutput) -> Constraint:
    """The choice in llama.cpp's GBNF, whose literals are written like those of JSON."""
    return Constraint({"grammar": "root ::= " + " | ".join(orjson.dumps(each).decode() for each in form.schema_)})


def _fireworks_grammar(form: StructuredOutput) -> Constraint:
    return Constraint({"response_format": {"type": "grammar", "grammar": form.schema_}})


def _tgi(kind: str, value: Callable[[StructuredOutput], Any]) -> _Way:
    return lambda form: Constraint({"response_format": {"type": kind, "value": value(form)}})


def _schema(form: StructuredOutput) -> Any:
    return form.schema_


DIALECTS: Mapping[str, Mapping[Format, _Way]] = {
    "openai": {"json": _json_schema_of_an_object},
    "json_schema": {"json": _json_schema},
    "json_object": {"json": _any_object},
    "anthropic": {"json": _forced_tool},
    "fireworks": {"json": _json_schema_of_an_object, "grammar": _fireworks_grammar},
    "llamacpp": {"json": _json_schema, "grammar": _field("grammar"), "choice": _alternatives},
    "ollama": {"json": _field("format")},
    "output_config": {"json": _output_config},
    "sglang": {
        "json": _json_schema,
        "regex": _field("regex"),
        "grammar": _field("ebnf"),
        "choice": lambda form: Constraint({"regex": _one_of(form)}),
    },
    "tgi": {"json": _tgi("json", _schema), "regex": _tgi("regex", _schema), "choice": _tgi("regex", _one_of)},
    "vllm": {"json": _json_schema, "regex": _vllm, "grammar": _vllm, "choice": _vllm},
}
"""Dialect -> format -> how a request says it. `ollama` is its own API; its OpenAI-compatible one is `json_schema`.
`output_config` is Anthropic's; its models of before are made to call a tool."""
