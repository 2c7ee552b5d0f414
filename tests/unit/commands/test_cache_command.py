"""`pipeline-coordinator cache`: list, size, prune, clear and explain."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.llms.answers.answers_file import answers_file
from common.llms.answers.kept import Place
from common.llms.answers.request_key import request_key
from common.llms.answers.store import AnswerStore
from common.llms.embeddings import OpenAIEmbeddings
from common.llms.openai import OpenAILLM
from coordinator.cli import group
from tests.support.kept_answers import look

SPEC = """
name: asking
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: hello}]}
  ask:
    type: TextGeneration
    after: load
    llm: {type: OpenAILLM, model: m, base_url: "http://127.0.0.1:1/v1", generation_kwargs: {temperature: 0.2}}
  last: {type: KeepColumns, after: ask, columns: [generation]}
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    (tmp_path / "spec.yaml").write_text(SPEC)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["cache", *map(str, arguments)], prog_name="pipeline-coordinator")


def said(*arguments: object) -> str:
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def keep(tmp_path: Path, *prompts: str, model: str = "m", **options: object) -> None:
    llm = OpenAILLM(model=model, base_url="http://127.0.0.1:1/v1", generation_kwargs=options)
    store = AnswerStore(answers_file(tmp_path / "cache"), "run", "", 1 << 30)
    for prompt in prompts:
        family, request = llm.asks([{"role": "user", "content": prompt}])
        place = Place(f"{model} {prompt}".encode())
        look(store, request_key(family, request), place)
        store.keep(request_key(family, request), place, family, request, json.dumps(os.urandom(3000).hex()).encode())
    store.close()


@pytest.mark.parametrize("words", [["ls"], ["du"], ["clear"], ["prune", "--keep", "1GB"], ["explain", "S", "ask"]])
def test_without_a_file_there_are_no_answers_and_none_is_made(tmp_path: Path, words: list[str]) -> None:
    assert "No answers are kept in" in said(*(word.replace("S", str(tmp_path / "spec.yaml")) for word in words))
    assert not answers_file(tmp_path / "cache").exists()


def test_ls_and_du_say_what_there_is(tmp_path: Path) -> None:
    keep(tmp_path, *map(str, range(30)))
    keep(tmp_path, "a", model="other")
    lines = said("ls").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["m", "30", "0"], ["other", "1", "0"]]
    assert "31 answers" in said("du")


def test_prune_deletes_the_oldest_and_clear_all(tmp_path: Path) -> None:
    keep(tmp_path, *map(str, range(500)))
    size = answers_file(tmp_path / "cache").stat().st_size
    assert said("prune", "--older-than", "1h") == "Deleted 0 answers.\n"
    said("prune", "--keep", f"{size // 4000}kB")
    assert answers_file(tmp_path / "cache").stat().st_size <= size // 4 + 4096
    with closing(sqlite3.connect(answers_file(tmp_path / "cache"))) as connection:
        kept = [number for (number,) in connection.execute("SELECT id FROM answers ORDER BY id")]
        assert kept == list(range(501 - len(kept), 501))
    assert 0 < len(kept) < 500
    assert said("clear") == f"Deleted {len(kept)} answers.\n"
    assert said("ls") == "No answers are kept.\n"


def test_prune_wants_to_know_what(tmp_path: Path) -> None:
    done = call("prune")
    assert done.exit_code == 2
    assert "--older-than 30d" in done.output
    assert "is not a size" in call("prune", "--keep", "much").output


def test_explain_names_the_parts_that_differ(tmp_path: Path) -> None:
    keep(tmp_path, "hello", "again", temperature=0.7, top_p=1)
    spec = tmp_path / "spec.yaml"
    assert said("explain", spec, "ask").splitlines() == [
        "2 kept answers differ from what step 'ask' asks in this:",
        "  temperature: there 0.7, here 0.2",
        "  top_p: there 1, here nothing",
    ]
    keep(tmp_path, "other prompt", temperature=0.2)
    assert said("explain", spec, "ask") == "1 kept answer, the same in all parts; the prompts were not compared.\n"
    (tmp_path / "prompt").write_text("other prompt")
    assert said("explain", spec, "ask", "--prompt", tmp_path / "prompt") == "1 kept answer, the same in all parts.\n"
    (tmp_path / "prompt").write_text(json.dumps([{"role": "user", "content": "new prompt"}]))
    assert "messages[0]: there" in said("explain", spec, "ask", "--prompt", tmp_path / "prompt")


def test_explain_knows_the_vectors_of_a_step(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from penstock.embeddings import Embeddings\nfrom penstock.steps import Step, StepInput\n\n"
        "class Embed(Step):\n    embeddings: Embeddings\n\n"
        "    def process(self, inputs: StepInput):\n        yield inputs\n"
    )
    spec = tmp_path / "embeds.yaml"
    spec.write_text(
        "name: e\nsteps:\n  load: {type: LoadDataFromDicts, data: [{a: b}]}\n  embed:\n    type: mine:Embed\n"
        "    after: load\n    embeddings: {type: OpenAIEmbeddings, model: m, dimensions: 8}\n"
    )
    kept = OpenAIEmbeddings(model="m", dimensions=4)
    store = AnswerStore(answers_file(tmp_path / "cache"), "run", "", 1 << 30)
    family, request = kept.asks([{"role": "user", "content": "some text"}])
    place = Place(request_key(family, request))
    look(store, request_key(family, request), place)
    store.keep(request_key(family, request), place, family, request, b"{}")
    store.close()
    assert said("explain", spec, "embed").splitlines() == [
        "1 kept answer differs from what step 'embed' asks in this:",
        "  dimensions: there 4, here 8",
    ]
    (tmp_path / "text").write_text("another text")
    assert "input[0]: there" in said("explain", spec, "embed", "--prompt", tmp_path / "text")


def test_explain_knows_the_vectors_of_conversations(tmp_path: Path) -> None:
    spec, prompt = tmp_path / "embeds.yaml", tmp_path / "prompt"
    spec.write_text(
        "name: e\nsteps:\n  load: {type: LoadDataFromDicts, data: [{text: b}]}\n  embed:\n"
        "    type: GenerateEmbeddings\n    after: load\n    llm: {type: OpenAIEmbeddings, model: m}\n"
    )
    family, request = OpenAIEmbeddings(model="m").asks_conversation([{"role": "user", "content": "some text"}])
    store = AnswerStore(answers_file(tmp_path / "cache"), "run", "", 1 << 30)
    key = request_key(family, request)
    look(store, key, Place(key))
    store.keep(key, Place(key), family, request, b"{}")
    store.close()
    prompt.write_text("some text")
    assert said("explain", spec, "embed", "--prompt", prompt) == "1 kept answer, the same in all parts.\n"
    prompt.write_text("another text")
    assert "messages[0]: there" in said("explain", spec, "embed", "--prompt", prompt)


@pytest.mark.parametrize(("step", "why"), [("asl", "did you mean 'ask'"), ("last", "asks no model at an endpoint")])
def test_explain_says_which_steps_it_can_explain(tmp_path: Path, step: str, why: str) -> None:
    done = call("explain", tmp_path / "spec.yaml", step)
    assert done.exit_code == 2
    assert why in done.output


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    file = answers_file(tmp_path / "cache")
    file.parent.mkdir()
    file.write_text("my thesis " * 100)
    done = call("ls")
    assert done.exit_code == 1
    assert "cannot be used: file is not a database" in done.output
