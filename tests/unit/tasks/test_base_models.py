"""Tasks for base models, which continue a text: where their answers end, and what they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import RowError
from common.llms import ChatMessage, EchoLLM, Generation, OpenAILLM
from common.steps.base import Row
from common.steps.tasks import URIAL, Genstruct
from tests.support.servers.chat_server import ChatServer, completion, serving
from tests.support.tasks.scripted import rows_of, scripted

DOCUMENT = {"title": " Tides ", "content": "The moon raises {tides}."}


def sent(cls: Any, row: Row, reply: str, *, parameters: dict[str, Any] | None = None, **llm: Any) -> tuple[Any, Row]:
    """The body of the request for a row, and the row with what came of the reply."""

    def answer(body: dict[str, Any]) -> Any:
        if "messages" in body:
            return completion(reply)
        return 200, {}, {"choices": [{"text": reply, "finish_reason": "stop"}]}

    async def asked() -> tuple[Row, ChatServer]:
        async with serving(answer) as chat:
            options = {"model": "m", "base_url": chat.url, "api": "completions", **llm}
            task = cls(llm=OpenAILLM(**options), retries=0, **(parameters or {}))
            task.load()
            await task.aload()
            try:
                return await task.process_row(row), chat
            finally:
                await task.aunload()

    made, chat = asyncio.run(asked())
    [(_, _, body)] = chat.requests
    return body, made


def test_a_base_model_is_told_to_stop_before_another_turn() -> None:
    body, row = sent(URIAL, {"instruction": "Name a colour."}, "\n\nRed.")
    assert body["stop"] == ["\n# User:", "\n# Assistant:"]
    assert body["prompt"].endswith("# User:\n\nName a colour.\n\n# Assistant:")
    assert row["generation"] == "Red."
    body, _ = sent(Genstruct, DOCUMENT, "What?\n[[[Assistant]]] Tides.")
    assert body["stop"] == ["[[[User]]]", "[[[Title]]]"]


@pytest.mark.parametrize("options", [{"stop": ["</s>"]}, {"extra_body": {"stop": "</s>"}}])
def test_a_stop_of_the_user_is_kept(options: dict[str, Any]) -> None:
    body, _ = sent(URIAL, {"instruction": "Name a colour."}, "Red.", generation_kwargs={"temperature": 0, **options})
    assert body["stop"] in (["</s>"], "</s>")
    assert body["temperature"] == 0


def test_a_client_without_such_an_option_is_not_told() -> None:
    class Terse(EchoLLM):
        async def agenerate(self, messages: list[ChatMessage], *, temperature: float = 1) -> Generation:  # type: ignore[override]
            return Generation("Red.\n# User:\nAnother?")

    [row] = rows_of(URIAL(llm=Terse(), retries=0), {"instruction": "Name a colour."})
    assert row["generation"] == "Red."


def test_a_model_of_conversations_ends_its_answers_itself() -> None:
    body, row = sent(URIAL, {"instruction": "Name a colour."}, "# Assistant:\n\nRed.", api="chat")
    assert "stop" not in body
    assert row["generation"] == "Red."
    reply = "<user>What?</user><assistant>Tides.</assistant>"
    body, row = sent(Genstruct, DOCUMENT, reply, api="chat", parameters={"use_default_structured_output": False})
    assert "stop" not in body
    assert "[[[" not in body["messages"][0]["content"]
    assert (row["user"], row["assistant"]) == ("What?", "Tides.")


def test_genstruct_sends_what_its_model_was_trained_with() -> None:
    body, row = sent(Genstruct, DOCUMENT, " What raises them?\n[[[Assistant]]] The moon.\n")
    assert body["prompt"].startswith("[[[Title]]] Tides\n[[[Content]]] The moon raises {tides}.\n\n")
    assert body["prompt"].endswith("\n\n[[[User]]] ")
    assert (row["user"], row["assistant"]) == ("What raises them?", "The moon.")


@pytest.mark.parametrize(
    "reply",
    [
        "What?",
        "What? [[[User]]] Why? [[[Assistant]]] So.",
        "[[[User]]] [[[Assistant]]] So.",
        "What? [[[Assistant]]] \n[[[User]]] Why?",
        "[[[Assistant]]] So.",
        "What? [[[Title]]] Tides",
    ],
)
def test_a_continuation_without_question_or_answer_fails_the_row(reply: str) -> None:
    with pytest.raises(RowError):
        rows_of(scripted(Genstruct, reply, {"genstruct_format": True}), dict(DOCUMENT))


def test_what_follows_the_first_interaction_does_not_count() -> None:
    task = scripted(Genstruct, "[[[user]]] What?\n[[[ASSISTANT]]] So.\n[[[Title]]] Sand", {"genstruct_format": True})
    [row] = rows_of(task, dict(DOCUMENT))
    assert (row["user"], row["assistant"]) == ("What?", "So.")


USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}


def test_a_conversation_is_written_turn_by_turn_below_its_system_message() -> None:
    system = {"role": "system", "content": "Be kind."}
    body, _ = sent(URIAL, {"conversation": [system, USER, ANSWER, USER]}, "Yes?", parameters={"system_prompt": "x"})
    assert body["prompt"].startswith("Be kind.\n\n# Instruction")
    assert body["prompt"].endswith("# User:\n\nHi\n\n# Assistant:\n\nHello.\n\n# User:\n\nHi\n\n# Assistant:")
    body, _ = sent(URIAL, {"instruction": "Go.", "conversation": [USER]}, "Yes?", parameters={"system_prompt": "x"})
    assert body["prompt"].startswith("x\n\n# Instruction")
    assert body["prompt"].endswith("# User:\n\nGo.\n\n# Assistant:")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "neither a text in column 'instruction' nor messages"),
        ({"instruction": " "}, "nothing but white space"),
        ({"instruction": None, "conversation": [USER, ANSWER]}, "must be of the user"),
        ({"conversation": [{"role": "system", "content": "x"}]}, "must be of the user"),
        ({"conversation": [{"role": "tool", "content": "x"}, USER]}, "is of 'tool'"),
        ({"conversation": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "where text is expected"),
        ({"conversation": "Hi"}, "where a list is expected"),
    ],
)
def test_a_row_without_a_turn_of_the_user_fails(row: Row, said: str) -> None:
    with pytest.raises(RowError, match=said):
        rows_of(scripted(URIAL, "Yes?"), row)


def test_a_heading_of_the_answer_does_not_end_it() -> None:
    [row] = rows_of(scripted(URIAL, "# User guide\n\nRead it.\n# User\r\nAnd?"), {"instruction": "Write."})
    assert row["generation"] == "# User guide\n\nRead it."
