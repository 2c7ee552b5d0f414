"""What the built-in tasks send to an endpoint."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from common.errors import RowError
from common.llms import OpenAILLM
from common.steps.base import Row
from common.steps.tasks import ChatGeneration, StructuredGeneration, TextGenerationWithImage
from tests.support.servers.chat_server import ChatServer, completion, serving

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


def answered(cls: Any, rows: list[Row], answers: dict[str, str], **parameters: Any) -> tuple[list[Any], ChatServer]:
    """The rows, or their errors, and the endpoint, which answers by what the last message contains."""

    def answer(body: dict[str, Any]) -> Any:
        asked = str(body["messages"][-1]["content"])
        return completion(next(text for word, text in answers.items() if word in asked))

    async def all_of_them() -> tuple[list[Any], ChatServer]:
        async with serving(answer) as chat:
            step = cls(llm=OpenAILLM(model="m", base_url=chat.url), retries=0, **parameters)
            step.load()
            await step.aload()
            try:
                return await asyncio.gather(*map(step.process_row, rows), return_exceptions=True), chat
            finally:
                await step.aunload()

    return asyncio.run(all_of_them())


def test_each_row_demands_its_own_form_of_the_endpoint() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    rows = [
        {"instruction": "one", "structured_output": {"format": "json", "schema": schema}},
        {"instruction": "two", "structured_output": '{"format": "regex", "schema": "[0-9]+"}'},
        {"instruction": "three", "structured_output": None},
        {"instruction": "four", "structured_output": {"format": "regex", "schema": "("}},
        {"instruction": "five", "structured_output": ["json"]},
    ]
    found, chat = answered(StructuredGeneration, rows, {"one": '{"n": 1}', "two": "2", "three": "any text"})
    assert [row["generation"] for row in found[:3]] == ['{"n": 1}', "2", "any text"]
    assert "the schema is not a regular expression" in str(found[3])
    assert "holds a value of type list where a mapping is expected" in str(found[4])
    sent = {str(body["messages"][-1]["content"])[:3]: body for _, _, body in chat.requests}
    assert sent["one"]["response_format"]["json_schema"]["schema"]["properties"] == schema["properties"]
    assert "[0-9]+" in sent["two"]["messages"][-1]["content"]
    assert "response_format" not in sent["thr"]
    assert len(chat.requests) == 3


@pytest.mark.parametrize(
    ("image", "image_type"),
    [(PNG, "url"), (b64encode(PNG).decode(), "base64"), ({"bytes": PNG, "path": None}, "PIL")],
)
def test_an_image_goes_with_the_prompt(image: Any, image_type: str) -> None:
    [row], chat = answered(
        TextGenerationWithImage, [{"instruction": "What?", "image": image}], {"What?": "A hat."}, image_type=image_type
    )
    assert row["generation"] == "A hat."
    [(_, _, body)] = chat.requests
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": "What?"}, "the row has no column 'image'"),
        ({"instruction": "What?", "image": None}, "None where base64 is expected"),
        ({"instruction": "What?", "image": "%%"}, "column 'image' is not base64"),
        ({"instruction": "What?", "image": b64encode(b"text").decode()}, "is not an image of a known kind"),
    ],
)
def test_a_row_without_an_image_fails(row: Row, message: str) -> None:
    [error], chat = answered(TextGenerationWithImage, [row], {}, image_type="base64")
    assert isinstance(error, RowError)
    assert message in str(error)
    assert chat.requests == []


def test_a_conversation_must_end_with_the_user() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    [error], _ = answered(ChatGeneration, [{"messages": turns}], {})
    assert "must be of the user, not of 'assistant'" in str(error)
    [row], chat = answered(ChatGeneration, [{"messages": turns[:1]}], {"Hi": "Hello"}, system_prompt="Be kind.")
    assert row["generation"] == "Hello"
    assert chat.requests[0][2]["messages"] == [{"role": "system", "content": "Be kind."}, turns[0]]
