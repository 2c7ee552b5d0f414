"""StructuredOutput: the form that the answers of a model must have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from common.naming.registry import Namespace

Format = Literal["json", "regex", "grammar", "choice"]
_OF_OTHER_LIBRARIES = ("mode", "max_retries")
"""Keys that instructor has: the endpoint says how it is told the form, and the step's `retries` how often it is asked.
"""
_CLASSES: Namespace[BaseModel] = Namespace("schema", BaseModel, "pydantic.BaseModel", (), "penstock.schemas")
_CLASS_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class StructuredOutput(BaseModel):
    """The form of a model's answers: a JSON Schema, a regular expression, a grammar, or a list of texts to choose from.

    A class of pydantic, also as `module:Class` in a spec, becomes its JSON Schema at once, so only the process that
    reads the pipeline imports it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    _version: ClassVar[int] = 1

    format: Format = Field(default="json", description="What schema is: json, regex, grammar or choice.")
    schema_: Any = Field(
        alias="schema",
        description="A JSON Schema or module:Class, a regular expression, a grammar, or a list of texts.",
    )
    constrain: bool = Field(default=True, description="Tell the endpoint the form, if it has an option for it.")
    in_prompt: bool | None = Field(
        default=None, description="Say the form at the end of the prompt; by default only if the endpoint is not told."
    )
    repair: bool = Field(
        default=True, description="Show the model an answer of the wrong form with its fault, and ask once more."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_other_spellings(cls, given: Any) -> Any:
        if isinstance(given, type):
            return {"schema": given}
        if not isinstance(given, Mapping):
            return given
        found = {name: value for name, value in given.items() if name not in _OF_OTHER_LIBRARIES}
        if found.get("format") is None:
            found.pop("format", None)
            if isinstance(found.get("schema"), list | tuple):
                found["format"] = "choice"
        return found

    @field_validator("schema_", mode="before")
    @classmethod
    def _is_plain(cls, schema: Any, info: ValidationInfo) -> Any:
        if info.data.get("format") == "json":
            if isinstance(schema, str):
                schema = _from_text(schema, (info.context or {}).get("allow", ("*",) if info.context is None else ()))
            if isinstance(schema, type) and issubclass(schema, BaseModel):
                return schema.model_json_schema()
        return list(schema) if isinstance(schema, tuple) else schema

    @model_validator(mode="after")
    def _schema_fits_the_format(self) -> Self:
        schema = self.schema_
        if self.format == "json":
            _check_json_schema(schema)
        elif self.format == "choice":
            if not isinstance(schema, list) or not schema or not all(isinstance(each, str) and each for each in schema):
                raise ValueError("format: choice needs a list of texts as its schema")
        elif not isinstance(schema, str) or not schema:
            raise ValueError(f"format: {self.format} needs a text as its schema")
        if self.format == "regex":
            try:
                re.compile(schema)
            except re.error as error:
                raise ValueError(f"the schema is not a regular expression: {error}") from None
        return self

    @property
    def properties(self) -> dict[str, Any] | None:
        """Property -> its schema, if the answer is a JSON object with known properties; else None."""
        if self.format != "json":
            return None
        schema = root_of(self.schema_)
        found = schema.get("properties")
        return found if schema.get("type") == "object" and isinstance(found, dict) and found else None


def root_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a `$ref` at the top names, as a recursive class of pydantic has it."""
    seen: set[str] = set()
    found: Any = schema
    while isinstance(found, Mapping) and isinstance(ref := found.get("$ref"), str) and ref not in seen:
        seen.add(ref)
        found = _at(schema, ref)
    return found if isinstance(found, Mapping) else {}


def _from_text(text: str, allow: Any) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"the schema is not JSON: {error}") from None
    if not _CLASS_NAME.fullmatch(text):
        raise ValueError(f"'{text}' is not a schema: write a JSON Schema, or a class of pydantic as module:Class")
    return _CLASSES.resolve(text, allow)


def _check_json_schema(schema: Any) -> None:
    if not isinstance(schema, dict):
        raise ValueError(f"format: json needs a JSON Schema or a class of pydantic, not a {type(schema).__name__}")
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"the schema is not a JSON Schema: {error.json_path}: {error.message}") from None
    for ref in references(schema):
        if not ref.startswith("#") or (ref.startswith("#/") and _at(schema, ref) is None):
            raise ValueError(f"the schema refers to '{ref}', which is not in it; a reference begins with #/$defs/")


def references(schema: Any) -> Iterator[str]:
    """Every `$ref` of a schema."""
    if isinstance(schema, Mapping):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)


def _at(schema: Any, ref: str) -> Any:
    """What a local reference points to; None if there is nothing."""
    if ref == "#":
        return schema
    if not ref.startswith("#/"):
        return None
    for part in ref[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, Mapping) or name not in schema:
            return None
        schema = schema[name]
    return schema
