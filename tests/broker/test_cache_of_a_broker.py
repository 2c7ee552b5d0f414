"""`pipeline-coordinator cache --broker`: list, size, prune, clear and explain what a broker keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.answers import AnswersOfBroker
from common.broker.connection import Connection
from common.llms.answers.broker_store import BrokerAnswerStore
from common.llms.answers.kept import Place
from common.llms.answers.request_key import request_key
from common.llms.openai import OpenAILLM
from tests.unit.commands.test_cache_command import SPEC, call, said

SECRET = "hunter22"


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    connection = Connection(redis_url)
    AnswersOfBroker(connection).delete_unused(float(1 << 40))
    yield redis_url
    connection.close()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    (tmp_path / "spec.yaml").write_text(SPEC)


def keep(url: str, *prompts: str, model: str = "m", **options: object) -> None:
    llm = OpenAILLM(model=model, base_url="http://127.0.0.1:1/v1", generation_kwargs=options)
    store = BrokerAnswerStore(url, "run", "", 1 << 30, 1000)
    for prompt in prompts:
        family, request = llm.asks([{"role": "user", "content": prompt}])
        reply = json.dumps(os.urandom(3000).hex()).encode()
        kept = store.keep(request_key(family, request), Place(f"{model} {prompt}".encode()), family, request, reply)
        if prompt == "bad":
            store.reject(kept)
    store.close()


@pytest.mark.parametrize("words", [["ls"], ["du"], ["clear"], ["prune", "--keep", "1GB"], ["explain", "S", "ask"]])
def test_a_broker_without_answers(tmp_path: Path, url: str, words: list[str]) -> None:
    words = [word.replace("S", str(tmp_path / "spec.yaml")) for word in words]
    assert "No answers are kept in" in said(*words, "--broker", url)


def test_ls_and_du_say_what_there_is(url: str) -> None:
    keep(url, *map(str, range(120)), "bad")
    keep(url, "a", model="other")
    lines = said("ls", "--broker", url).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["m", "121", "1"], ["other", "1", "0"]]
    assert "122 answers" in said("du", "--broker", url)


def test_prune_deletes_what_was_not_used_for_the_longest_time_and_clear_all(url: str) -> None:
    keep(url, *map(str, range(300)))
    assert said("prune", "--older-than", "1h", "--broker", url) == "Deleted 0 answers.\n"
    said("prune", "--keep", "500kB", "--broker", url)
    connection = Connection(url)
    kept = sum(one.answers for one in AnswersOfBroker(connection).requests())
    assert 0 < AnswersOfBroker(connection).total() <= 500_000
    connection.close()
    assert 0 < kept < 300
    assert said("clear", "--broker", url) == f"Deleted {kept} answers.\n"
    assert "No answers are kept in" in said("ls", "--broker", url)


def test_explain_names_the_parts_that_differ(tmp_path: Path, url: str) -> None:
    keep(url, "hello", "again", "bad", temperature=0.7, top_p=1)
    assert said("explain", tmp_path / "spec.yaml", "ask", "--broker", url).splitlines() == [
        "2 kept answers differ from what step 'ask' asks in this:",
        "  temperature: there 0.7, here 0.2",
        "  top_p: there 1, here nothing",
    ]


def test_a_broker_that_is_away_is_an_error_without_its_password() -> None:
    done = call("ls", "--broker", f"redis://user:{SECRET}@127.0.0.1:1/0")
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    assert SECRET not in done.output
