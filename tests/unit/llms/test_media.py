"""Images, sounds and files in conversations: from rows to requests, and in the words of each API."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.llms import AnthropicLLM, EchoLLM, OpenAILLM
from common.llms.apis.responses import Responses
from common.llms.media import parts
from common.llms.media.kinds import data_url, embedded_in, media_type
from common.llms.media.parts import described, has_parts, with_media
from common.llms.media.translation import anthropic_content, ollama_message, responses_content
from common.steps import TextGeneration
from common.steps.base import Row
from common.steps.tasks.asker import PromptError
from tests.support.servers.anthropic_server import AnthropicServer
from tests.support.servers.api_server import KEY, serving_api
from tests.support.servers.chat_server import completion, serving

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt "
MP3 = b"ID3\x04"
PDF = b"%PDF-1.7"
URL = f"data:image/png;base64,{b64encode(PNG).decode()}"
SENT = {"type": "image_url", "image_url": {"url": URL}}


def user(*content: Any) -> list[Any]:
    return [{"role": "user", "content": list(content)}]


def sent(part: Any, row: Row | None = None, folder: Path | None = None) -> Any:
    [message] = with_media(user(part), row or {}, str(folder) if folder else None)
    [found] = message["content"]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return tmp_path / "media"


# from a row to a request


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": "a.png"},
        {"type": "image", "image": PNG},
        {"type": "image", "image": {"bytes": PNG, "path": None}},
        {"type": "image", "image": {"bytes": PNG, "path": "elsewhere.png"}},
        {"type": "image", "image": {"bytes": None, "path": "a.png"}},
        {"type": "image", "image": URL},
        {"type": "image", "column": "photo"},
        {"type": "image_url", "image_url": "a.png"},
        {"type": "image_url", "image_url": {"url": "a.png", "detail": None}},
        {"type": "image_url", "image_url": {"url": PNG}, "text": None},
    ],
)
def test_every_way_to_give_an_image_becomes_the_same_part(part: Any, folder: Path) -> None:
    assert sent(part, {"photo": {"bytes": PNG, "path": "x"}}, folder) == SENT


def test_a_url_is_left_to_the_endpoint_and_the_detail_stays() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    assert sent(part) == part
    assert sent({"type": "image", "image": "https://example.org/a.png", "detail": "low"}) == part


def test_sounds_and_files_have_parts_of_their_own() -> None:
    assert sent({"type": "audio", "audio": WAV}) == {
        "type": "input_audio",
        "input_audio": {"data": b64encode(WAV).decode(), "format": "wav"},
    }
    assert sent({"type": "audio", "audio": {"bytes": MP3, "path": "a.mp3"}})["input_audio"]["format"] == "mp3"
    pdf = {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{b64encode(PDF).decode()}"}
    assert sent({"type": "file", "file": {"bytes": PDF, "path": "a/b.pdf"}}) == {"type": "file", "file": pdf}
    assert sent({"type": "file", "file": pdf}) == {"type": "file", "file": pdf}


def test_texts_and_parts_of_a_server_stay_as_they_are() -> None:
    video = {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}
    assert sent({"type": "text", "text": "hi", "image": None}) == {"type": "text", "text": "hi"}
    assert sent("hi") == {"type": "text", "text": "hi"}
    assert sent(video) == video
    assert with_media([{"role": "user", "content": "hi"}], {}) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image", "image": "b.png"}, r"part 0 of message 0 names the file 'b\.png', .*: no such file"),
        ({"type": "image", "image": "../secret.png"}, r"'\.\./secret\.png', which is not below media_folder"),
        ({"type": "image", "image": "/etc/hostname"}, "'/etc/hostname', which is not below media_folder"),
        ({"type": "image", "image": "link.png"}, "'link.png', which is not below media_folder"),
        ({"type": "image", "image": "."}, "which is not a file"),
        ({"type": "image", "image": "a\0.png"}, "cannot be read"),
        ({"type": "image", "image": "big.png"}, r"'.*/big\.png' has 20,000,001 bytes, and at most 20,000,000 are sent"),
        ({"type": "image", "image": b"text"}, "of 4 bytes is not an image of a known kind"),
        ({"type": "image", "image": WAV}, "is not an image of a known kind"),
        ({"type": "audio", "audio": PNG}, "is not audio of a known kind"),
        ({"type": "audio", "audio": "https://example.org/a.wav"}, "an endpoint takes audio by a path or bytes alone"),
        ({"type": "image", "image": None}, "has None as its image, where a URL, a path, bytes or"),
        ({"type": "image", "column": "picture"}, "the row has no column 'picture'"),
        ({"image": PNG}, "where a mapping with a 'type' is expected"),
        (3, "is a value of type int where a mapping"),
    ],
)
def test_what_cannot_be_sent_names_the_part_and_the_path(part: Any, message: str, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    with (folder / "big.png").open("wb") as file:
        file.truncate(parts.MOST_BYTES + 1)
    with pytest.raises(RowError, match=message):
        sent(part, {}, folder)


def test_a_pipe_in_the_folder_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(RowError, match="which is not a file"):
        sent({"type": "image", "image": "pipe.png"}, {}, folder)


def test_without_a_folder_no_file_of_the_worker_is_read() -> None:
    with pytest.raises(RowError, match=r"names the file '/etc/hostname': set media_folder of the step"):
        sent({"type": "image", "image": "/etc/hostname"})


@given(st.binary(max_size=40), st.sampled_from(["image/png", "application/pdf", "audio/x-wav"]))
def test_a_data_url_holds_what_was_put_into_it(data: bytes, kind: str) -> None:
    held = embedded_in(data_url(data, kind))
    assert held is not None
    assert (held.kind, b64decode(held.data)) == (kind, data)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "image", "text", "image_url", "url", "bytes", "path", "column"]),
                inner | st.sampled_from(["image", "audio", "file", "image_url", "input_audio"]),
            )
        ),
    )
)
def test_any_part_is_sent_or_is_an_error_of_the_row(part: Any) -> None:
    described(user(part))
    try:
        with_media(user(part), {})
    except RowError:
        return


def test_a_kind_is_known_by_its_bytes_before_its_name() -> None:
    assert media_type(PNG, "a.jpg") == "image/png"
    assert media_type(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert media_type(b"???", "a.webp") == "image/webp"
    assert media_type(b"???") is None


def test_messages_are_described_without_what_they_hold() -> None:
    message = user(
        {"type": "text", "text": "What is it?"}, {"type": "image", "image": PNG}, {"type": "image", "image": "a.png"}
    )
    assert described(message) == [{"role": "user", "content": "What is it?\n[image of 12 bytes]\n[image a.png]"}]
    assert has_parts(message)
    assert not has_parts(described(message))


# in the words of other APIs


def test_the_messages_api_has_blocks() -> None:
    content = [
        {"type": "text", "text": "hi"},
        SENT,
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"filename": "b.pdf", "file_data": data_url(PDF, "application/pdf")}},
    ]
    data = b64encode(PDF).decode()
    assert anthropic_content(content) == [
        {"type": "text", "text": "hi"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64encode(PNG).decode()}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": data},
            "title": "b.pdf",
        },
    ]
    with pytest.raises(ValueError, match="takes no audio"):
        anthropic_content([{"type": "input_audio", "input_audio": {}}])


def test_the_responses_api_has_its_own_names() -> None:
    content = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]
    assert responses_content(content, "user") == [
        {"type": "input_text", "text": "hi"},
        {"type": "input_image", "image_url": URL, "detail": "low"},
    ]
    assert responses_content(content[:1], "assistant") == [{"type": "output_text", "text": "hi"}]
    request = Responses().request("m", [{"role": "user", "content": content}], {})
    assert request["input"][0]["content"][0]["type"] == "input_text"


def test_ollama_has_images_beside_the_text() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "hi"}, SENT]}
    assert ollama_message(message) == {"role": "user", "content": "hi", "images": [b64encode(PNG).decode()]}
    assert ollama_message({"role": "user", "content": "hi"}) == {"role": "user", "content": "hi"}
    with pytest.raises(ValueError, match="not by a URL"):
        ollama_message({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a"}}]})


# a step


def asked(llm: Any, row: Row, **options: Any) -> Any:
    async def one() -> Any:
        step = TextGeneration(name="see", llm=llm, template="{{ conversation }}", **options)
        step._enable_metadata = True
        step.load()
        await step.aload()
        try:
            return await step.process_row(row)
        finally:
            await step.aunload()

    return one()


def test_a_conversation_with_an_image_goes_to_the_endpoint_and_its_metadata_name_it(folder: Path) -> None:
    async def one() -> tuple[Any, Any]:
        async with serving(lambda _: completion("a cat")) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url, structured_output={"schema": ["a cat", "a dog"]})
            row = {"conversation": user({"type": "text", "text": "What?"}, {"type": "image", "image": "a.png"})}
            return await asked(llm, row, media_folder=str(folder), system_prompt="Look."), chat.requests[0][2]

    row, request = asyncio.run(one())
    assert row["generation"] == "a cat"
    system, question = request["messages"]
    assert system == {"role": "system", "content": "Look."}
    assert question["content"][:2] == [{"type": "text", "text": "What?"}, SENT]
    assert "- a dog" in question["content"][2]["text"]
    assert row["distilabel_metadata"]["raw_input_see"][1]["content"] == "What?\n[image a.png]"


def test_claude_gets_blocks() -> None:
    async def one() -> AnthropicServer:
        server = AnthropicServer()
        async with serving_api(server):
            llm = AnthropicLLM(model="claude-x", base_url=server.url, api_key=KEY)
            await asked(llm, {"conversation": user("What?", {"type": "image", "column": "photo"}), "photo": PNG})
        return server

    [request] = asyncio.run(one()).asked
    assert [block["type"] for block in request.body["messages"][0]["content"]] == ["text", "image"]


def test_a_missing_file_fails_its_row_without_a_call(folder: Path) -> None:
    row = {"conversation": user({"type": "image", "image": "gone.png"})}
    with pytest.raises(PromptError, match=r"'gone\.png', which cannot be read from .*: no such file"):
        asyncio.run(asked(EchoLLM(), row, media_folder=str(folder)))


def test_the_stand_in_reads_the_text_beside_an_image() -> None:
    row = asyncio.run(asked(EchoLLM(), {"conversation": user("What is it?", {"type": "image", "image": PNG})}))
    assert "What is it?" in row["generation"]
