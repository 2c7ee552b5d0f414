"""Pushing to a hub: what arrives there, what stays here, and what a refusal says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.finished_runs import finished_run
from tests.support.servers.hub_client import run_at_hub
from tests.support.servers.hub_server import READ_TOKEN, Hub, serving_hub

ROWS = [{"id": 1, "text": "a", "raw": "x" * 400}, {"id": 2, "text": None, "raw": None}]
PUSH = """
from common.errors import PenstockError
from coordinator.dataset.distiset import Distiset
distiset = Distiset.from_folder("run/dataset")
def push(*arguments, **options):
    try:
        return distiset.push_to_hub(*arguments, **options)
    except PenstockError as error:
        return f"{type(error).__name__}: {error}"
"""
LOAD = """
from datasets import load_dataset
def load(*arguments, **options): return list(load_dataset(*arguments, **options))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a process, with the directory of a finished run of two leaves."""
    finished_run(tmp_path / "run", on=ROWS, other=[{"n": 1}], none=[])
    return tmp_path


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def card(hub: Hub) -> str:
    return hub.repositories["me/quotes"].files["README.md"].decode()


def test_what_is_pushed_loads_as_the_same_rows_with_all_that_the_run_has_left(hub: Hub, folder: Path) -> None:
    (folder / "make_quotes.py").write_text("print('quotes')\n")
    code = 'url = push("me/quotes", include_script=True, script_path="make_quotes.py")\n' + (
        'answer([url, load("me/quotes", split="train"), load("me/quotes", "other", split="train"),'
        ' datasets.load_dataset("me/quotes", "none", split="train", streaming=True).column_names])'
    )
    url, on, other, none = run_at_hub(hub, folder, PUSH + LOAD + code)
    assert (url, on, other, none) == (f"{hub.url}/datasets/me/quotes", ROWS, [{"n": 1}], ["text"])
    repository = hub.repositories["me/quotes"]
    assert not repository.private
    assert len(repository.commits) == 2, "the first one makes the repository"
    assert repository.files["make_quotes.py"] == b"print('quotes')\n"
    assert repository.files["pipeline.yaml"] == b"name: quotes\nsteps: {}\n"
    assert repository.files["pipeline.log"] == b"the run is complete\n"
    assert repository.files["artifacts/ask/index/words.txt"] == b"to be"
    for said in ('load_dataset("me/quotes", "other"', "config_name: 'on'", "# quotes", "@misc{ask", "n<1K"):
        assert said in card(hub)


def test_the_files_of_a_run_are_pushed_as_they_are(hub: Hub, folder: Path) -> None:
    run_at_hub(hub, folder, PUSH + 'answer(push("me/quotes", private=True))')
    repository = hub.repositories["me/quotes"]
    assert repository.private
    (file,) = (folder / "run" / "dataset" / "on").glob("train-00000-of-00001-*.parquet")
    assert repository.files["on/train-00000-of-00001.parquet"] == file.read_bytes()


def test_a_push_that_is_repeated_uploads_nothing_and_makes_no_commit(hub: Hub, folder: Path) -> None:
    run_at_hub(hub, folder, PUSH + 'answer([push("me/quotes"), push("me/quotes")])')
    assert len(hub.repositories["me/quotes"].commits) == 2
    assert len(hub.asked("PUT", "/large-files/")) == 3


def test_a_later_push_replaces_its_own_files_and_leaves_those_of_others(hub: Hub, folder: Path) -> None:
    theirs = {
        "README.md": b"---\nlicense: mit\ntags:\n- poetry\nconfigs:\n- config_name: theirs\n  data_files: theirs/*\n"
        b"- config_name: 'on'\n  data_files: old/*\ndataset_info:\n  config_name: 'on'\n  features:\n"
        b"  - name: old\n    dtype: string\n---\nMy words.\n",
        "theirs/rows.parquet": parquet([{"a": 1, "b": 2}]),
        "on/train-00000-of-00002.parquet": b"of an earlier run",
        "on/notes.md": b"notes",
        "artifacts/old/model/weights.bin": b"of an earlier run",
    }
    hub.add("me/quotes", theirs)
    code = """
    push("me/quotes")
    answer([load("me/quotes", "on", split="train"), load("me/quotes", "theirs", split="train")])
    """
    assert run_at_hub(hub, folder, PUSH + LOAD + dedent(code)) == [ROWS, [{"a": 1, "b": 2}]]
    files = hub.repositories["me/quotes"].files
    assert {"theirs/rows.parquet", "on/notes.md", "on/train-00000-of-00001.parquet"} <= set(files)
    assert not {"on/train-00000-of-00002.parquet", "artifacts/old/model/weights.bin"} & set(files)
    assert "license: mit" in card(hub)
    assert "- poetry" in card(hub)
    assert "My words." not in card(hub)


def test_without_a_card_of_ours_the_text_that_is_there_stays(hub: Hub, folder: Path) -> None:
    hub.add("me/quotes", {"README.md": b"---\nlicense: mit\n---\nMy words.\n"})
    code = 'push("me/quotes", generate_card=False)\nanswer(load("me/quotes", "on", split="train"))'
    assert run_at_hub(hub, folder, PUSH + LOAD + code) == ROWS
    assert card(hub).endswith("My words.\n")
    assert "## on" not in card(hub)


def test_splits_and_rows_that_a_program_made_are_pushed_too(hub: Hub, folder: Path) -> None:
    (folder / "image.bin").write_bytes(b"an image")
    code = """
    from datasets import Dataset, DatasetDict, Image
    del distiset["none"], distiset["on"]
    distiset["other"] = DatasetDict({"train": Dataset.from_list([{"n": n} for n in range(9)])})
    distiset.train_test_split(2 / 3, shuffle=False)
    media = Dataset.from_list([{"media": {"bytes": None, "path": "image.bin"}}])
    distiset["media"] = DatasetDict({"train": media.cast_column("media", Image(decode=False))})
    push("me/quotes", max_shard_size=24)
    media = datasets.load_dataset("me/quotes", "media", split="train").with_format("arrow")[:].to_pylist()[0]["media"]
    answer([load("me/quotes", "other", split="train"), load("me/quotes", "other", split="test"), str(media["bytes"])])
    """
    train, test, media = run_at_hub(hub, folder, PUSH + LOAD + dedent(code))
    assert ([row["n"] for row in train], [row["n"] for row in test]) == (list(range(6)), [6, 7, 8])
    assert media == str(b"an image")
    files = set(hub.repositories["me/quotes"].files)
    assert {"other/train-00000-of-00002.parquet", "other/train-00001-of-00002.parquet"} <= files


def test_somebody_elses_commit_at_the_same_time_is_no_error(hub: Hub, folder: Path) -> None:
    hub.refusals["POST", "/api/datasets/me/quotes/commit"] = [412, 409]
    assert run_at_hub(hub, folder, PUSH + 'answer(push("me/quotes"))') == f"{hub.url}/datasets/me/quotes"
    assert len(hub.asked("POST", "/api/datasets/me/quotes/commit")) == 3


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HF_TOKEN": "hf_wrong"}, ["was not pushed to 'me/quotes'", "refuses the token", "HF_TOKEN"]),
        ({"HF_TOKEN": READ_TOKEN}, ["the token lacks the permission to write there"]),
        ({"HF_TOKEN": ""}, ["without a token", "export HF_TOKEN"]),
        ({"HF_HUB_OFFLINE": "1"}, ["HF_HUB_OFFLINE is set"]),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, ["http://127.0.0.1:9 cannot be reached"]),
    ],
    ids=["wrong token", "token that may only read", "no token", "offline", "no hub"],
)
def test_a_refused_push_says_why_and_what_to_do(
    hub: Hub, folder: Path, environment: dict[str, str], said: list[str]
) -> None:
    hub.add("me/quotes", {"README.md": b"as it was"})
    message = run_at_hub(hub, folder, PUSH + 'answer(push("me/quotes"))', **environment)
    assert message.startswith("HubError: ")
    for words in said:
        assert words in message
    assert "hf_" not in message.replace("hf_home", "")
    assert hub.repositories["me/quotes"].files == {"README.md": b"as it was"}


def test_a_public_dataset_is_not_pushed_to_as_a_private_one(hub: Hub, folder: Path) -> None:
    hub.add("me/quotes", {"README.md": b"as it was"})
    message = run_at_hub(hub, folder, PUSH + 'answer(push("me/quotes", private=True))')
    assert "UsageError: 'me/quotes' already exists and is public" in message
    assert len(hub.repositories["me/quotes"].commits) == 1


def test_an_upload_that_breaks_off_leaves_the_dataset_there_as_it_was(hub: Hub, folder: Path) -> None:
    hub.add("me/quotes", {"README.md": b"as it was"})
    hub.refusals["PUT", "/large-files/"] = [403] * 9
    message = run_at_hub(hub, folder, PUSH + 'answer(push("me/quotes"))')
    assert "HubError: the dataset was not pushed to 'me/quotes'" in message
    assert hub.repositories["me/quotes"].files == {"README.md": b"as it was"}


def test_wrong_arguments_are_refused_before_anything_is_sent(hub: Hub, folder: Path) -> None:
    code = """
    answer([
        push("a name/with/slashes"),
        push("me/quotes", include_script=True),
        push("me/quotes", include_script=True, script_path="nowhere.py"),
    ])
    """
    name, script, nowhere = run_at_hub(hub, folder, PUSH + dedent(code))
    assert "a name/with/slashes" in name
    assert "is not a Python script file; pass the script that made this as script_path" in script
    assert "'nowhere.py' is not a Python script file" in nowhere
    assert hub.asked("POST") == []
