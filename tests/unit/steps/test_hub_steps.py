"""LoadDataFromHub and PushToHub by themselves, with the real clients at a hub on loopback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import UsageError
from common.steps.loading.hub import LoadDataFromHub, PushToHub
from tests.support.servers.hub_client import run_at_hub
from tests.support.servers.hub_server import Hub, serving_hub

LOAD = """
from common.errors import PenstockError
from common.steps.loading.hub import LoadDataFromHub, PushToHub
def step(**parameters):
    return LoadDataFromHub(name="load", **{"repo_id": "me/numbers", "batch_size": 4, **parameters})
def batches(step, offset=0):
    return [[[row["n"] for row in rows], last] for rows, last in step.process(offset)]
def problem(action):
    try:
        return action()
    except PenstockError as error:
        return f"{type(error).__name__}: {error}"
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as hub:
        yield hub


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def numbers(*counts: int) -> dict[str, bytes]:
    """A dataset of files with these numbers of rows, which count on."""
    files, first = {}, 0
    for index, count in enumerate(counts):
        rows = [{"n": n, "image": {"bytes": b"x", "path": None}} for n in range(first, first + count)]
        files[f"data/train-{index:05d}-of-{len(counts):05d}.parquet"] = parquet(rows)
        first += count
    return files


def test_rows_come_in_order_from_any_offset_and_as_many_as_are_wanted(hub: Hub, tmp_path: Path) -> None:
    hub.add("me/numbers", numbers(3, 7))
    code = """
    answer([
        batches(step()),
        batches(step(), 9),
        batches(step(), 10),
        batches(step(num_examples=5), 2),
        batches(step(num_examples=50)),
        batches(step(streaming=False, num_examples=50)),
        batches(step(streaming=False, num_examples=6), 4),
    ])
    """
    everything = [[[0, 1, 2, 3], False], [[4, 5, 6, 7], False], [[8, 9], True]]
    assert run_at_hub(hub, tmp_path, LOAD + dedent(code)) == [
        everything,
        [[[9], True]],
        [],
        [[[2, 3, 4], True]],
        everything,
        everything,
        [[[4, 5], True]],
    ]


def test_columns_and_cells_are_those_that_are_stored(hub: Hub, tmp_path: Path) -> None:
    hub.add("me/numbers", numbers(2))
    code = """
    answer([sorted(step().outputs), str(next(step().process())[0][0]["image"]["bytes"])])
    """
    assert run_at_hub(hub, tmp_path, LOAD + dedent(code)) == [["image", "n"], str(b"x")]


def test_a_fingerprint_is_the_commit_and_what_is_pinned_is_read(hub: Hub, tmp_path: Path) -> None:
    repository = hub.add("me/numbers", numbers(2))
    first = repository.head
    second = repository.commit(numbers(5))
    code = f"""
    pinned = step()
    pinned.pin("{first}")
    answer([step().fingerprint(), step(revision="{first}").fingerprint(), len(batches(pinned)[0][0])])
    """
    assert run_at_hub(hub, tmp_path, LOAD + dedent(code)) == [second, first, 2]
    assert hub.asked("GET", "/api/datasets/me/numbers/revision/main") == []


def test_what_cannot_be_read_is_named_and_its_columns_are_not_known(hub: Hub, tmp_path: Path) -> None:
    hub.add("me/numbers", numbers(2))
    code = """
    wrong = [step(repo_id="me/nothing"), step(split="tset"), step(config="other"), step(revision="v2")]
    answer([[one.outputs, problem(one.load)] for one in wrong])
    """
    answers = run_at_hub(hub, tmp_path, LOAD + dedent(code))
    for (columns, message), said in zip(
        answers, ["there is no such dataset", "tset", "BuilderConfig 'other' not found", "v2"], strict=True
    ):
        assert columns == []
        assert message.startswith("HubError: step 'load' cannot read the dataset 'me/")
        assert said in message


def test_a_hub_that_cannot_be_reached_hides_the_columns_and_fails_the_fingerprint(hub: Hub, tmp_path: Path) -> None:
    code = "answer([step().outputs, step().output_columns(set()), problem(step().fingerprint)])"
    columns, after, message = run_at_hub(hub, tmp_path, LOAD + code, HF_ENDPOINT="http://127.0.0.1:9")
    assert (columns, after) == ([], None)
    assert "http://127.0.0.1:9 cannot be reached" in message


def test_pushing_keeps_other_splits_unites_columns_and_may_be_repeated(hub: Hub, tmp_path: Path) -> None:
    code = """
    rows = [{"n": 1}, {"n": 2, "text": "a"}]
    for split in ("train", "test", "test"):
        push = PushToHub(name="push", repo_id="me/numbers", split=split)
        assert list(push.process(rows)) == [rows]
    loaded = datasets.load_dataset("me/numbers")
    answer({split: list(loaded[split]) for split in loaded})
    """
    rows = [{"n": 1, "text": None}, {"n": 2, "text": "a"}]
    assert run_at_hub(hub, tmp_path, LOAD + dedent(code)) == {"train": rows, "test": rows}
    assert len(hub.repositories["me/numbers"].commits) == 3, "made, and once for each split"


def test_rows_whose_values_have_no_common_type_are_refused(hub: Hub, tmp_path: Path) -> None:
    code = """
    push = PushToHub(name="push", repo_id="me/numbers")
    answer(problem(lambda: list(push.process([{"n": 1}, {"n": "one"}]))))
    """
    assert "column 'n' holds values of different types" in run_at_hub(hub, tmp_path, LOAD + dedent(code))
    assert hub.requests == []


@pytest.mark.parametrize("step", [LoadDataFromHub, PushToHub])
def test_what_cannot_be_a_name_is_refused_when_the_step_is_made(step: type[Any]) -> None:
    with pytest.raises(ValueError, match="'a/b/c' cannot be the name of a dataset on the hub"):
        step(name="hub", repo_id="a/b/c")


def test_a_step_without_its_dataset_says_so() -> None:
    with pytest.raises(UsageError, match="step 'hub' has no repo_id yet"):
        LoadDataFromHub(name="hub").fingerprint()
