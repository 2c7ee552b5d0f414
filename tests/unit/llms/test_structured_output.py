"""The form of answers: how it is given, how each kind of endpoint is told it, and how an answer is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, ValidationError

from common.errors import UsageError
from common.llms import OpenAILLM
from common.llms.calls.calling import RequestRefused, WrongSetup
from common.llms.providers import PROVIDERS
from common.llms.structured.closed import closed_schema
from common.llms.structured.constraints import DIALECTS, NOTHING, constraint, text_of_tool
from common.llms.structured.prompts import asked_to_repair, with_form
from common.llms.structured.reading import WrongForm, read
from common.llms.structured.strict import strict_schema
from common.llms.structured.structured_output import StructuredOutput
from common.naming.plain_data import dump_value
from tests.support.asking import HI
from tests.support.servers.chat_server import serving


class City(BaseModel):
    name: str
    people: int = Field(ge=0)


class Tree(BaseModel):
    label: str
    children: list[Tree]


CITY = City.model_json_schema()
COLOURS = {"format": "choice", "schema": ["red", "dark blue"]}
DIGITS = {"format": "regex", "schema": r"\d{3}"}
GRAMMAR = {"format": "grammar", "schema": 'root ::= "yes" | "no"'}


def form(given: Any) -> StructuredOutput:
    return StructuredOutput.model_validate(given)


# how it is given


@pytest.mark.parametrize(
    "written",
    [
        {"format": "json", "schema": City},
        {"schema": City, "mode": "tool_call", "max_retries": 2},
        {"format": None, "schema": CITY},
        {"schema": json.dumps(CITY)},
        {"schema": f"{__name__}:City"},
        City,
    ],
)
def test_a_class_its_name_and_its_schema_are_the_same_form_and_are_dumped_as_the_schema(written: Any) -> None:
    llm = OpenAILLM(model="m", structured_output=written)
    assert llm.structured_output == form({"schema": CITY})
    assert dump_value(llm)["structured_output"] == {"schema": CITY}


def test_a_list_is_a_choice_and_other_formats_are_named() -> None:
    assert form({"schema": ("a", "b")}) == form({"format": "choice", "schema": ["a", "b"]})
    assert dump_value(form(DIGITS)) == DIGITS


def test_a_class_is_imported_only_from_where_that_is_allowed() -> None:
    named = {"model": "m", "structured_output": {"schema": f"{__name__}:City"}}
    allowed = OpenAILLM.model_validate(named, context={"allow": (__name__,)})
    assert allowed.structured_output == form({"schema": CITY})
    with pytest.raises(ValidationError, match=r"is not allowed here; to let this process import it: --allow"):
        OpenAILLM.model_validate(named, context={"allow": ()})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"schema": 3}, "needs a JSON Schema or a class of pydantic, not a int"),
        ({"schema": "City"}, r"'City' is not a schema: write a JSON Schema, or a class of pydantic as module:Class"),
        ({"schema": "{"}, "the schema is not JSON"),
        ({"schema": {"type": "objekt"}}, r"the schema is not a JSON Schema: \$\.type"),
        ({"schema": {"$ref": "https://example.org/s"}}, "refers to 'https://example.org/s', which is not in it"),
        ({"schema": {"items": {"$ref": "#/$defs/A"}}}, "refers to '#/\\$defs/A', which is not in it"),
        ({"schema": f"{__name__}:CITY"}, "is not the class of a schema; it must inherit from pydantic.BaseModel"),
        ({"format": "regex", "schema": "("}, "the schema is not a regular expression: missing \\)"),
        ({"format": "regex", "schema": ["a"]}, "format: regex needs a text"),
        ({"format": "choice", "schema": []}, "format: choice needs a list of texts"),
        ({"format": "choice", "schema": ["a", 1]}, "format: choice needs a list of texts"),
        ({"format": "grammar", "schema": ""}, "format: grammar needs a text"),
        ({"format": "xml", "schema": "a"}, "'json', 'regex', 'grammar' or 'choice'"),
        ({"schema": CITY, "repairs": True}, "has no parameter 'structured_output.repairs'; did you mean 'repair'"),
    ],
)
def test_a_form_that_is_none_is_an_error_that_says_why(written: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OpenAILLM(model="m", structured_output=written)


def test_the_properties_of_an_object_are_known_also_through_a_reference_at_the_top() -> None:
    assert list(form({"schema": City}).properties or ()) == ["name", "people"]
    assert list(form({"schema": Tree}).properties or ()) == ["label", "children"]
    assert form({"schema": {"type": "array"}}).properties is None
    assert form(COLOURS).properties is None


def test_a_form_of_a_row_that_the_endpoint_refuses_fails_the_row_alone() -> None:
    async def errors() -> list[str]:
        refused = {"error": {"message": "Invalid schema for response_format 'City'", "code": "invalid_json_schema"}}
        async with serving(lambda _: (400, {}, refused)) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url, structured_output=City)
            await llm.aload()
            found = []
            for each in (llm, llm.with_form(form(City))):
                try:
                    await each.agenerate(HI)
                except (WrongSetup, RequestRefused) as error:
                    found.append(type(error).__name__)
            await llm.aunload()
            return found

    assert asyncio.run(errors()) == ["FormRefused", "RequestRefused"]


# how an endpoint is told


def told(written: Any, dialect: str) -> Any:
    return dict(constraint(form(written), dialect).fields)


STRICT_CITY = {**CITY, "additionalProperties": False}
NO_MINIMUM = {
    **STRICT_CITY,
    "properties": {"name": CITY["properties"]["name"], "people": {"title": "People", "type": "integer"}},
}


@pytest.mark.parametrize(
    ("dialect", "written", "fields"),
    [
        (
            "openai",
            {"schema": City},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "City", "schema": STRICT_CITY, "strict": True},
                }
            },
        ),
        ("openai", {"schema": {"type": "array"}}, {}),
        ("openai", DIGITS, {}),
        ("json_object", {"schema": City}, {"response_format": {"type": "json_object"}}),
        (
            "json_schema",
            {"schema": {"type": "array"}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "array"}},
                }
            },
        ),
        ("vllm", DIGITS, {"structured_outputs": {"regex": r"\d{3}"}, "guided_regex": r"\d{3}"}),
        ("vllm", COLOURS, {"structured_outputs": {"choice": COLOURS["schema"]}, "guided_choice": COLOURS["schema"]}),
        ("sglang", DIGITS, {"regex": r"\d{3}"}),
        ("sglang", GRAMMAR, {"ebnf": GRAMMAR["schema"]}),
        ("sglang", COLOURS, {"regex": r"(red|dark\ blue)"}),
        ("llamacpp", GRAMMAR, {"grammar": GRAMMAR["schema"]}),
        ("llamacpp", COLOURS, {"grammar": 'root ::= "red" | "dark blue"'}),
        ("fireworks", GRAMMAR, {"response_format": {"type": "grammar", "grammar": GRAMMAR["schema"]}}),
        ("tgi", {"schema": City}, {"response_format": {"type": "json", "value": CITY}}),
        ("tgi", DIGITS, {"response_format": {"type": "regex", "value": r"\d{3}"}}),
        ("ollama", {"schema": City}, {"format": CITY}),
        (
            "anthropic",
            {"schema": City},
            {
                "tools": [{"name": "answer", "description": "Gives the answer.", "input_schema": CITY}],
                "tool_choice": {"type": "tool", "name": "answer"},
            },
        ),
        ("anthropic", {"schema": {"type": "array"}}, {}),
        (
            "output_config",
            {"schema": City},
            {"output_config": {"format": {"type": "json_schema", "schema": NO_MINIMUM}}},
        ),
        ("output_config", {"schema": Tree}, {}),
        ("output_config", {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}, {}),
        ("", {"schema": City}, {}),
        ("openai", {"schema": City, "constrain": False}, {}),
    ],
)
def test_each_kind_of_endpoint_is_told_in_its_own_way(dialect: str, written: Any, fields: Any) -> None:
    assert told(written, dialect) == fields


def test_a_reference_at_the_top_is_followed_for_endpoints_that_look_for_an_object() -> None:
    schema = told({"schema": Tree}, "openai")["response_format"]["json_schema"]["schema"]
    assert schema["type"] == "object"
    assert Draft202012Validator(schema).is_valid({"label": "a", "children": [{"label": "b", "children": []}]})


def test_every_provider_has_a_dialect_that_there_is() -> None:
    assert {provider.dialect for provider in PROVIDERS.values()} <= {"", *DIALECTS}


def test_what_a_model_gave_to_the_tool_is_its_answer() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "answer", "arguments": '{"a": 1}'}}
    assert text_of_tool([call]) == '{"a": 1}'
    assert text_of_tool([{"function": {"name": "other", "arguments": "{}"}}]) is None
    assert text_of_tool(None) is None


@pytest.mark.parametrize(("provider", "served"), [("vllm", True), ("sglang", True), ("openai", False), (None, False)])
def test_a_grammar_needs_an_endpoint_that_takes_one(provider: str | None, served: bool) -> None:
    llm = OpenAILLM(model="m", provider=provider, base_url="http://h/v1", api_key="k", structured_output=GRAMMAR)
    if served:
        llm.load()
        return
    with pytest.raises(UsageError, match=r"has no option for a grammar.*\(fireworks, llamacpp, sglang, vllm\)"):
        llm.load()


def test_an_option_that_would_say_the_form_again_is_refused() -> None:
    options = {"response_format": {"type": "json_object"}}
    llm = OpenAILLM(model="m", base_url="http://h/v1", structured_output=City, generation_kwargs=options)
    with pytest.raises(UsageError, match=r"cannot set 'response_format' beside structured_output"):
        llm.load()


# strict schemas


class Optional(BaseModel):
    note: str | None = None


class Defaulted(BaseModel):
    size: int = 3


class Mapped(BaseModel):
    counts: dict[str, int]


def test_a_property_that_may_be_null_becomes_required_and_a_schema_that_cannot_be_strict_is_none() -> None:
    strict = strict_schema(Optional.model_json_schema())
    assert strict is not None
    assert strict["required"] == ["note"]
    assert "default" not in strict["properties"]["note"]
    assert strict_schema(Defaulted.model_json_schema()) is None
    assert strict_schema(Mapped.model_json_schema()) is None
    assert strict_schema({"type": "array", "items": {"type": "string"}}) is None
    assert strict_schema({**STRICT_CITY, "additionalProperties": True}) is None  # it asks for others


LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "null"}, {"enum": ["a", 1]}, {"type": "boolean"}]
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def build(properties: dict[str, Any], optional: bool, more: Any) -> Any:
        required = [name for name, each in properties.items() if not (optional and "null" in json.dumps(each))]
        return {"type": "object", "properties": properties, "required": required, **more}

    more = st.sampled_from([{}, {}, {"additionalProperties": False}, {"additionalProperties": True}, {"title": "T"}])
    return st.builds(build, st.dictionaries(st.sampled_from("abc"), inner, max_size=3), st.booleans(), more)


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda inner: (
            objects(inner)
            | st.builds(lambda item: {"type": "array", "items": item}, inner)
            | st.builds(lambda one, two: {"anyOf": [one, two], "default": None}, inner, inner)
        ),
        max_leaves=6,
    )
)


def answers(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Answers that a strict schema admits."""
    if "anyOf" in schema:
        return st.one_of(*map(answers, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        return st.fixed_dictionaries({name: answers(each) for name, each in schema["properties"].items()})
    if schema["type"] == "array":
        return st.lists(answers(schema["items"]), max_size=2)
    plain = {"string": st.text(max_size=3), "integer": st.integers(0, 9), "null": st.none(), "boolean": st.booleans()}
    return plain[schema["type"]]


@given(SCHEMAS, st.data())
def test_whatever_a_strict_schema_admits_the_given_one_admits(schema: dict[str, Any], data: st.DataObject) -> None:
    strict = strict_schema(schema)
    if strict is not None:
        answer = data.draw(answers(strict))
        assert Draft202012Validator(strict).is_valid(answer)
        assert Draft202012Validator(schema).is_valid(answer)
        assert_closed(strict)


@given(SCHEMAS, st.data())
def test_whatever_a_closed_schema_that_says_all_admits_the_given_one_admits(
    schema: dict[str, Any], data: st.DataObject
) -> None:
    if (found := closed_schema(schema)) is None:
        return
    closed, says_all = found
    assert "minimum" not in json.dumps(closed)
    answer = data.draw(answers(closed))
    assert Draft202012Validator(closed).is_valid(answer)
    if says_all:
        assert Draft202012Validator(schema).is_valid(answer)


def test_a_closed_schema_says_what_it_leaves_out_and_does_without_types_in_a_list() -> None:
    def of(**each: Any) -> Any:
        return closed_schema({"type": "object", "properties": {"a": each}, "required": ["a"]})

    for whole in (
        {"type": "string", "format": "date", "default": "x"},
        {"type": "array", "items": {"type": "null"}, "minItems": 1},
        {"enum": ["a", 1], "description": "A."},
        {"type": ["string", "null"]},
    ):
        assert of(**whole)[1], whole
    for more in (
        {"type": "string", "pattern": "^a"},
        {"type": "string", "format": "iban"},
        {"type": "array", "items": {"type": "null"}, "minItems": 2},
        {"oneOf": [{"type": "null"}, {"type": "string"}]},
    ):
        assert not of(**more)[1], more
    kinds = of(type=["string", "null"], description="D.")[0]["properties"]["a"]
    assert kinds == {"description": "D.", "anyOf": [{"type": "string"}, {"type": "null"}]}


def test_a_schema_that_no_closed_one_can_say_is_said_in_the_prompt() -> None:
    many = {f"p{number}": {"type": "string"} for number in range(25)}
    chain = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{m}"} for m in range(n)] or [{"type": "null"}]} for n in range(40)}
    for schema in (
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": many},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/d39"}}, "$defs": chain},
    ):
        assert closed_schema(schema) is None, schema


def assert_closed(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert set(schema["required"]) == set(schema["properties"])
        for each in schema.values():
            assert_closed(each)
    elif isinstance(schema, list):
        for each in schema:
            assert_closed(each)


# how an answer is read

PARIS = '{"name": "Paris", "people": 2}'


@pytest.mark.parametrize(
    "answer",
    [PARIS, f"\n {PARIS}\n", f"```json\n{PARIS}\n```", f"Here it is:\n```\n{PARIS}\n```\nAnything else?"],
)
def test_json_is_read_also_in_a_code_fence(answer: str) -> None:
    reading = read(form({"schema": City}), answer)
    assert (reading.text, reading.value) == (PARIS, {"name": "Paris", "people": 2})


def test_a_fence_inside_a_text_is_part_of_it() -> None:
    answer = json.dumps({"code": "```py\n1\n```"})
    assert read(form({"schema": {"type": "object"}}), answer).text == answer


@pytest.mark.parametrize(
    ("written", "answer", "fault"),
    [
        ({"schema": City}, "Paris", "it is not JSON: "),
        ({"schema": City}, f"```\n{PARIS}\n```\n```\n{PARIS}\n```", "it is not JSON: "),
        ({"schema": City}, '{"name": "Paris"}', r"at \$: 'people' is a required property"),
        ({"schema": City}, '{"name": "Paris", "people": -1}', r"at \$\.people: -1 is less than the minimum of 0"),
        ({"schema": City}, '{"name": "Paris", "people": NaN}', "it is not JSON: "),
        ({"schema": {"type": "string", "format": "date"}}, '"today"', "'today' is not a 'date'"),
        (DIGITS, "1234", "it does not match the regular expression"),
        (COLOURS, "green", "it is not one of red, dark blue"),
    ],
)
def test_an_answer_of_another_form_says_what_is_wrong(written: Any, answer: str, fault: str) -> None:
    with pytest.raises(WrongForm, match=fault):
        read(form(written), answer)


@pytest.mark.parametrize(("written", "answer"), [(DIGITS, "123"), (COLOURS, "dark blue"), (GRAMMAR, "yes")])
def test_a_text_of_the_form_is_kept_without_the_blanks_around_it(written: Any, answer: str) -> None:
    assert read(form(written), answer).text == answer
    if written is not GRAMMAR:
        assert read(form(written), f" {answer}\n").text == answer


@given(st.dictionaries(st.text(), st.integers(-5, 5) | st.text() | st.none()))
def test_any_object_comes_back_as_it_was_written(value: dict[str, Any]) -> None:
    assert read(form({"schema": {"type": "object"}}), json.dumps(value)).value == value


@given(st.text())
def test_any_text_is_read_or_is_of_the_wrong_form(text: str) -> None:
    for written in ({"schema": City}, DIGITS, COLOURS):
        try:
            read(form(written), text)
        except WrongForm:
            continue


def test_json_nested_deeper_than_python_goes_is_of_the_wrong_form() -> None:
    tree: Any = {"label": "", "children": []}
    for _ in range(400):
        tree = {"label": "", "children": [tree]}
    with pytest.raises(WrongForm, match=r"it is nested too deeply|it is not JSON"):
        read(form({"schema": Tree}), json.dumps(tree))


# in words


@pytest.mark.parametrize(
    ("written", "words"),
    [({"schema": City}, '"people"'), (DIGITS, r"\d{3}"), (COLOURS, "- dark blue"), (GRAMMAR, "root ::=")],
)
def test_the_last_message_of_the_user_ends_with_the_form(written: Any, words: str) -> None:
    first: Any = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    asked: Any = [*first, {"role": "user", "content": "c"}]
    messages = with_form(asked, form(written))
    assert messages[:2] == first
    assert messages[2]["content"].startswith("c\n\n")
    assert words in messages[2]["content"]
    assert with_form(first[1:], form(written))[-1]["role"] == "user"


def test_a_repair_shows_the_answer_and_its_fault() -> None:
    messages = asked_to_repair([{"role": "user", "content": "a"}], "b", "it is not JSON")
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "it is not JSON" in messages[2]["content"]


def test_what_is_not_told_is_nothing() -> None:
    assert constraint(form(DIGITS), "openai") is NOTHING
    assert not constraint(form({"schema": City}), "json_object").is_whole
