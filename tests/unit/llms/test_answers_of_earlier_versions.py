"""Answers that earlier versions have kept are found after an upgrade: their keys and their file stay what they were.

A key here may change only if the request itself has become another one: then say in CHANGELOG.md that answers to such
requests are asked for again. The tables below are those of released versions: add to them, change none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.llms.answers.answers_file import answers_file
from common.llms.answers.kept import Answers, Place
from common.llms.answers.request_key import KEY_BYTES, request_key
from common.llms.answers.store import AnswerStore
from penstock import embeddings, llms
from tests.support.kept_answers import look

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hellö."}]
AT = {"base_url": "http://127.0.0.1:1/v1"}
SAMPLING = {"generation_kwargs": {"temperature": 0.7, "max_tokens": 100}}
FORM = {"format": "json", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}

CLIENTS: list[tuple[str, Mapping[str, Any], str]] = [
    ("OpenAILLM", {"model": "m", **AT, **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("OpenAILLM", {"model": "m", **AT, **SAMPLING, "stream": True, "timeout": 5}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("OpenAILLM", {"model": "m", **AT, "endpoint_identity": "mine"}, "cf68a76586c4de715c4fb4bad9e9752d"),
    ("OpenAILLM", {"model": "m", **AT, "structured_output": FORM}, "d75c281135381fbf0d106af12b6e0c82"),
    (
        "AzureOpenAILLM",
        {"model": "m", "base_url": "https://mine.openai.azure.com", **SAMPLING},
        "a4184672f33614d8feae85278dcff801",
    ),
    ("AnthropicLLM", {"model": "m", **SAMPLING}, "d4871de5987dac271fdf4310c68c4eec"),
    ("InferenceEndpointsLLM", {"model_id": "m", **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("ClientvLLM", {"model": "m", **AT, **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("GroqLLM", {"model": "m", **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("MistralLLM", {"model": "m", **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("OllamaLLM", {"model": "m"}, "863a2d52167a75e21eed4ee4db749d7b"),
    ("TogetherLLM", {"model": "m", **SAMPLING}, "f101ddf8980ac8fc46b82249d14a1983"),
    ("OpenAIEmbeddings", {"model": "m", **AT, "batch_size": 7}, "4878db87026e34fe0e6b13f390dc5748"),
    ("InferenceEndpointsEmbeddings", {"model_id": "m"}, "ecf75dd4e3c566a86794c6dbf5ab671b"),
]


def key_of(name: str, parameters: Mapping[str, Any]) -> str:
    client: Any = getattr(embeddings if name.endswith("Embeddings") else llms, name)(**parameters)
    return request_key(*client.asks(MESSAGES[1:] if name.endswith("Embeddings") else MESSAGES)).hex()


@pytest.mark.parametrize(("name", "parameters", "key"), CLIENTS)
def test_the_key_of_a_request_stays(name: str, parameters: Mapping[str, Any], key: str) -> None:
    assert key_of(name, parameters) == key


REPLIES = [
    ("D5C2BE6A57CCF443", "28B52FFD20073900007B226E223A317D"),
    ("F98A90BC62B99939", "28B52FFD20073900007B226E223A327D"),
    ("A04A3E40E0BEF3E3", "28B52FFD20073900007B226E223A337D"),
]
"""Digest and compressed reply of three answers to the first of these requests."""
REJECTED = 2
TABLES = """
CREATE TABLE answers (id INTEGER PRIMARY KEY, request BLOB NOT NULL, run INTEGER NOT NULL, made INTEGER NOT NULL,
                      rejected INTEGER NOT NULL, model TEXT NOT NULL, parts BLOB NOT NULL, digest BLOB NOT NULL,
                      reply BLOB NOT NULL);
CREATE TABLE claims (claimant BLOB PRIMARY KEY, run INTEGER NOT NULL, answer INTEGER NOT NULL,
                     attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, begun TEXT NOT NULL, used INTEGER NOT NULL,
                   UNIQUE (name, begun));
CREATE INDEX answers_of_a_request ON answers (request, id);
CREATE UNIQUE INDEX claims_of_a_run ON claims (run, answer);
INSERT INTO runs VALUES (1, 'asking-1', '2026-01-01', 1795846036);
PRAGMA application_id = 1347636033;
PRAGMA user_version = 1;
"""
KEY = CLIENTS[0][2]
PARTS = b'{"api":"/chat/completions","model":"m"}'


def found_later(store: Answers) -> list[Any]:
    """What the places of another run find."""
    found = [look(store, bytes.fromhex(KEY), Place(bytes([number]) * KEY_BYTES)) for number in range(3)]
    store.close()
    return [json.loads(one.reply) if one is not None else None for one in found]


def test_a_file_of_format_1_is_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(answers_file(tmp_path))) as connection:
        connection.executescript(TABLES)
        for number, (digest, reply) in enumerate(REPLIES, 1):
            values = (
                number,
                bytes.fromhex(KEY),
                number == REJECTED,
                PARTS,
                bytes.fromhex(digest),
                bytes.fromhex(reply),
            )
            connection.execute("INSERT INTO answers VALUES (?, ?, 1, 1795846036, ?, 'm', ?, ?, ?)", values)
            connection.execute("INSERT INTO claims VALUES (?, 1, ?, 0)", (bytes([200 + number]) * KEY_BYTES, number))
        connection.commit()
    assert found_later(AnswerStore(answers_file(tmp_path), "later", "begun", 1 << 30)) == [{"n": 1}, {"n": 3}, None]
