"""The steps that push to Argilla, at a server on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from common.building.dump import dump_parameters
from common.building.signed_parameters import signed_parameters
from common.errors import RowError, UsageError
from common.steps import PreferenceToArgilla, TextGenerationToArgilla
from common.steps.argilla.base import ArgillaBase, BadRecord
from common.steps.base import Row
from tests.support.servers.api_server import KEY
from tests.support.servers.argilla_server import ArgillaServer, Dataset, serving_argilla
from tests.support.servers.on_a_thread import on_a_thread


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArgillaServer]:
    monkeypatch.setenv("ARGILLA_API_KEY", KEY)
    monkeypatch.delenv("ARGILLA_API_URL", raising=False)
    with on_a_thread(serving_argilla()) as served:
        yield served


def texts(server: ArgillaServer, **options: Any) -> TextGenerationToArgilla:
    return TextGenerationToArgilla(name="push", dataset_name="quotes", api_url=server.url, **options)


def ratings(server: ArgillaServer, **options: Any) -> PreferenceToArgilla:
    return PreferenceToArgilla(
        name="push", dataset_name="pairs", api_url=server.url, **{"num_generations": 2, **options}
    )


def push(*steps: ArgillaBase, rows: list[Row]) -> list[Any]:
    """What becomes of the rows, each pushed by each of the steps, all at once."""

    async def pushed() -> list[Any]:
        for step in steps:
            step.load()
            await step.aload()
        found = await asyncio.gather(*(step.process_row(row) for row in rows for step in steps), return_exceptions=True)
        for step in steps:
            await step.aunload()
        return list(found)

    return asyncio.run(pushed())


def test_generations_become_records_of_a_new_dataset_and_rows_pass(server: ArgillaServer) -> None:
    rows = [
        {"instruction": "Say hello.", "generation": "Hello!", "n": 1},
        {"instruction": "Say no.", "generation": "No."},
    ]
    assert push(texts(server), rows=rows) == rows
    dataset = server.dataset("quotes")
    assert (dataset.workspace_id, dataset.status) == (server.workspaces["argilla"], "ready")
    assert [(field["name"], field["required"]) for field in dataset.fields] == [
        ("id", True),
        ("instruction", True),
        ("generation", True),
    ]
    assert [(question["name"], question["settings"]["type"]) for question in dataset.questions] == [
        ("quality", "label_selection")
    ]
    (first, _) = sorted(
        (record["fields"] for record in dataset.records.values()), key=lambda fields: fields["generation"]
    )
    assert first == {
        "id": hashlib.sha256(b"Say hello.").hexdigest(),
        "instruction": "Say hello.",
        "generation": "Hello!",
    }
    assert server.keys == {KEY}


def test_a_row_that_is_pushed_again_makes_no_second_record(server: ArgillaServer) -> None:
    rows = [
        {"instruction": "Count.", "generation": ["1", "2", "1", None]},
        {"instruction": "Count.", "generation": "3"},
    ]
    push(texts(server), rows=rows)
    before = dict(server.dataset("quotes").records)
    assert sorted(record["fields"]["generation"] for record in before.values()) == ["1", "2", "3"]
    push(texts(server), texts(server), rows=rows)
    assert server.dataset("quotes").records == before
    assert len(server.datasets) == 1


def test_ratings_and_rationales_are_suggested(server: ArgillaServer, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = [
        {"instruction": "a", "generations": ["x", "y"], "ratings": [5, "2"], "rationales": ["good", None]},
        {"instruction": "b", "generations": ["x"], "ratings": [7.0]},
        {"instruction": "c", "generations": ["x", None], "ratings": None},
    ]
    assert push(ratings(server), rows=rows) == rows
    dataset = server.dataset("pairs")
    found = {record["fields"]["instruction"]: record for record in dataset.records.values()}
    assert found["a"]["suggestions"] == {
        "generations-0-rating": 5,
        "generations-0-rationale": "good",
        "generations-1-rating": 2,
    }
    assert found["b"]["suggestions"] == {}
    assert "the rating 7.0 is not a whole number from 1 to 5" in caplog.text
    assert set(found["c"]["fields"]) == {"id", "instruction", "generations-0"}
    assert [(question["name"], question["required"]) for question in dataset.questions] == [
        ("generations-0-rating", True),
        ("generations-0-rationale", False),
        ("generations-1-rating", False),
        ("generations-1-rationale", False),
    ]


def test_fields_are_called_as_the_columns_of_the_rows(server: ArgillaServer) -> None:
    mapped = texts(server, input_mappings={"instruction": "prompt"}, dataset_workspace="team")
    push(mapped, rows=[{"instruction": "a", "generation": "b"}])
    dataset = server.dataset("quotes")
    assert dataset.workspace_id == server.workspaces["team"]
    assert [field["name"] for field in dataset.fields] == ["id", "prompt", "generation"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": "a", "generations": ["x", "y", "z"]}, "has 3 texts; num_generations is 2"),
        ({"instruction": "a", "generations": []}, "'generations' is empty"),
        ({"instruction": "a", "generations": [None, "x"]}, "'generations[0]' holds None"),
        ({"instruction": " ", "generations": ["x"]}, "'instruction' holds nothing but white space"),
        ({"instruction": "a", "generations": "x"}, "where a list is expected"),
        ({"instruction": "a"}, "no column 'generations'"),
    ],
)
def test_a_row_that_makes_no_record_fails_alone_and_without_a_retry(server: ArgillaServer, row: Row, said: str) -> None:
    good = {"instruction": "a", "generations": ["x"]}
    step = ratings(server)
    failed, passed = push(step, rows=[row, good])
    assert isinstance(failed, BadRecord)
    assert said in str(failed)
    assert passed == good
    assert isinstance(failed, step.final_errors)


def test_workers_that_begin_at_once_make_one_dataset(server: ArgillaServer) -> None:
    rows = [{"instruction": str(number), "generation": "x"} for number in range(5)]
    assert push(*(texts(server) for _ in range(4)), rows=rows) == [row for row in rows for _ in range(4)]
    assert len(server.datasets) == 1
    assert len(server.datasets[0].records) == 5
    assert len(server.datasets[0].fields) == 3


def test_a_dataset_whose_creator_died_over_it_is_completed(server: ArgillaServer) -> None:
    server.datasets.append(Dataset("quotes", server.workspaces["argilla"]))
    server.define(server.datasets[0], "fields", {"name": "id", "required": True, "settings": {"type": "text"}})
    row = {"instruction": "a", "generation": "b"}
    assert push(texts(server), rows=[row]) == [row]
    assert server.datasets[0].status == "ready"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["id", "instruction"], "already exists and has no field 'generation'; choose another dataset_name"),
        (["id", "instruction", "generation", "topic"], "already exists and has the required field 'topic'"),
    ],
)
def test_a_dataset_of_another_form_halts_the_run(server: ArgillaServer, fields: list[str], said: str) -> None:
    dataset = Dataset("quotes", server.workspaces["argilla"])
    server.datasets.append(dataset)
    for name in fields:
        server.define(dataset, "fields", {"name": name, "required": True, "settings": {"type": "text"}})
    server.define(dataset, "questions", {"name": "quality", "required": True, "settings": {"type": "text"}})
    dataset.status = "ready"
    (error,) = push(texts(server), rows=[{"instruction": "a", "generation": "b"}])
    assert isinstance(error, UsageError)
    assert said in str(error)


def test_a_wrong_key_workspace_or_name_halts_the_run_and_shows_no_key(
    server: ArgillaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"instruction": "a", "generation": "b"}
    (error,) = push(texts(server, dataset_workspace="teem"), rows=[row])
    assert isinstance(error, UsageError)
    assert "has no workspace 'teem'; did you mean 'team'" in str(error)
    (error,) = push(texts(server, input_mappings={"generation": "My Answer"}), rows=[row])
    assert isinstance(error, UsageError)
    assert "the field 'My Answer': 422: " in str(error)
    monkeypatch.setenv("OTHER_KEY", "wrong-key-of-mine")
    (error,) = push(texts(server, api_key_env="OTHER_KEY"), rows=[row])
    assert isinstance(error, UsageError)
    assert "check the key in the environment variable OTHER_KEY" in str(error)
    assert "wrong-key-of-mine" not in str(error)


def test_a_server_or_key_that_nobody_names_is_said_before_the_run(
    server: ArgillaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="has no server: set api_url, or ARGILLA_API_URL"):
        TextGenerationToArgilla(name="push", dataset_name="quotes").check_here()
    with pytest.raises(UsageError, match="two fields of the dataset are called 'id'"):
        texts(server, input_mappings={"instruction": "id"}).check_here()
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    TextGenerationToArgilla(name="push", dataset_name="quotes").check_here()
    monkeypatch.delenv("ARGILLA_API_KEY")
    with pytest.raises(UsageError, match="has no key for Argilla: set the environment variable ARGILLA_API_KEY"):
        texts(server).check_here()


def test_a_server_that_fails_for_a_while_is_waited_for(server: ArgillaServer) -> None:
    server.script.extend([0, 503, 502, 0, 503])
    row = {"instruction": "a", "generation": "b"}
    assert push(texts(server), rows=[row]) == [row]
    assert len(server.dataset("quotes").records) == 1


def test_records_that_the_server_refuses_fail_alone(server: ArgillaServer) -> None:
    step = texts(server)
    assert push(step, rows=[{"instruction": "a", "generation": "b"}]) == [{"instruction": "a", "generation": "b"}]
    server.script.extend([0] * 4 + [422])
    (error,) = push(texts(server), rows=[{"instruction": "c", "generation": "d"}])
    assert isinstance(error, RowError)
    assert "answered records of the dataset 'quotes': 422: scripted 422" in str(error)


def test_the_key_is_in_no_dump_and_the_place_of_the_server_in_no_signature(server: ArgillaServer) -> None:
    step = texts(server, api_key="argilla-key-in-python", api_key_env="OTHER_KEY")
    plain = dump_parameters(step)
    assert "argilla-key-in-python" not in str(plain) + repr(step)
    assert signed_parameters(plain, step) == {"dataset_name": "quotes"}
    assert push(step, rows=[{"instruction": "a", "generation": "b"}])  # refused: the key given in Python is used
    assert server.keys == {"argilla-key-in-python"}
