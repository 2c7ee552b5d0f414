"""Full disks, full brokers and small limits: the run waits, says so, and continues."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coordinator.runs.run_directory import RunDirectory
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.servers.redis_server import RedisServer
from tests.support.small_disk import mounted_disk

ROW = 4_000


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 2 MB."""
    with mounted_disk(tmp_path / "small", "2m") as disk:
        yield disk


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    """A broker that a test may fill."""
    with RedisServer() as server:
        yield server


def bulky(harness: Harness, rows: int = 500, seconds: float = 0.0) -> Path:
    return harness.write_spec(
        f"""
name: bulky
steps:
  gen: {{type: "mysteps:Count", rows: {rows}, seconds: {seconds}}}
  blobs: {{type: "failing_steps:Bulky", after: gen, size: {ROW}}}
  dbl: {{type: "mysteps:DoubleAsync", after: blobs, seconds: 0.0}}
"""
    )


def check_rows(harness: Harness, rows: int, dataset: Path) -> None:
    found = harness.rows("dbl", dataset)
    assert [row["n"] for row in found] == list(range(rows))
    assert {len(row["blob"]) for row in found} == {ROW}


def dataset(cache: Path) -> Path:
    (record,) = cache.glob("*/*/run.json")
    return record.parent / "dataset"


@pytest.mark.parametrize("where", ["embedded", "external"])
def test_a_full_disk_is_waited_for(harness: Harness, small_disk: Path, redis_url: str, where: str) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    arguments = ("--cache-dir", small_disk, *(("--broker", redis_url) if where == "external" else ()))
    command = harness.start_run(bulky(harness), *arguments, PART_ROWS="100")
    wait_for(lambda: "No space left" in command.text or command.process.poll() is not None, 60, "a word about it")
    assert command.process.poll() is None, command.text
    # Not just room for what waits: Redis needs to write its journal as well.
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert command.wait() == 0, command.text
    check_rows(harness, 500, dataset(small_disk))
    assert command.text.count("No space left") < 5, "says it once, not every second"
    assert harness.left_over() == []


@pytest.mark.parametrize("where", ["embedded", "external"])
def test_a_disk_that_stays_full_ends_the_run_which_goes_on_later(
    harness: Harness, small_disk: Path, redis_url: str, where: str
) -> None:
    (small_disk / "ballast").write_bytes(bytes(1_500_000))
    spec = bulky(harness)
    arguments = (spec, "--cache-dir", small_disk, *(("--broker", redis_url) if where == "external" else ()))
    code, text = harness.run(*arguments, PART_ROWS="100", PATIENCE="2")
    assert code == 1, text
    assert 1 <= text.count("No space left") < 5, "says it once, not every time that it tries"
    if where == "external":
        assert f"free space in {small_disk}" in text
    assert harness.left_over() == []
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, text = harness.run(*arguments, PART_ROWS="100")
    assert code == 0, text
    check_rows(harness, 500, dataset(small_disk))


def test_a_dataset_that_has_no_room_where_it_is_to_be_copied_stays_whole(harness: Harness, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(1_500_000))
    arguments = (bulky(harness), "--output", small_disk / "out")
    for _ in range(2):  # the second time the run is already complete
        code, text = harness.run(*arguments)
        assert code == 1, text
        assert "is complete and its dataset is in" in text
        assert "cannot be copied to" in text
        assert "No space left on device; rerun the command to try again" in text
        assert "Traceback" not in text
        assert RunDirectory(harness.run_directory).read().status == "complete"
        check_rows(harness, 500, harness.run_directory / "dataset")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, text = harness.run(*arguments)
    assert code == 0, text
    check_rows(harness, 500, small_disk / "out")
    assert harness.left_over() == []


def test_a_full_broker_is_waited_for_and_drained(harness: Harness, broker: RedisServer) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 500_000)
        command = harness.start_run(bulky(harness), "--broker", broker.url)
        wait_for(lambda: "full" in command.text or command.process.poll() is not None, 60, "a word about it")
        assert command.process.poll() is None, command.text
        assert "waiting for the broker: it is full (maxmemory reached)" in command.text
        client.config_set("maxmemory", 0)
    assert command.wait() == 0, command.text
    check_rows(harness, 500, harness.run_directory / "dataset")
    assert harness.letters() == []
    assert harness.left_over() == []


def test_a_broker_that_is_full_in_mid_run_loses_nothing(harness: Harness, broker: RedisServer) -> None:
    spec = bulky(harness, rows=1_500, seconds=0.05)
    command = harness.start_run(spec, "--broker", broker.url)
    with redis.Redis.from_url(broker.url) as client:
        wait_for(lambda: list(client.scan_iter("*:payload:*", count=1_000)), 60, "a payload")
        client.config_set("maxmemory", 1_000_000)
        wait_for(lambda: "full" in command.text or command.process.poll() is not None, 60, "a word about it")
        assert command.process.poll() is None, command.text
        client.config_set("maxmemory", 0)
    assert command.wait() == 0, command.text
    check_rows(harness, 1_500, harness.run_directory / "dataset")
    assert harness.letters() == []


def test_a_broker_that_stays_full_ends_the_run_which_goes_on_later(harness: Harness, broker: RedisServer) -> None:
    spec = bulky(harness)
    with redis.Redis.from_url(broker.url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
        code, text = harness.run(spec, "--broker", broker.url, PATIENCE="3")
        assert code == 1, text
        assert "full (maxmemory reached)" in text
        client.config_set("maxmemory", 0)
    code, text = harness.run(spec, "--broker", broker.url)
    assert code == 0, text
    check_rows(harness, 500, harness.run_directory / "dataset")


def test_a_tiny_budget_for_payloads_slows_a_run_down_and_no_more(harness: Harness) -> None:
    code, text = harness.run(bulky(harness), PAYLOAD_BUDGET="1", timeout=90)
    assert code == 0, text
    check_rows(harness, 500, harness.run_directory / "dataset")


@pytest.mark.parametrize(
    ("rows", "size", "settings"),
    [
        (500, 10_000, {}),
        (6_500, 3_000, {"STEP_BACKLOG": "8"}),
        (6_500, 3_000, {"STEP_BACKLOG": "8", "PAYLOAD_BUDGET": "1000", "DISPATCH_SLACK": "1"}),
        (500, 1, {"STEP_BACKLOG": "1", "DISPATCH_SLACK": "1"}),
    ],
)
def test_a_batch_larger_than_what_may_wait_is_cut_nevertheless(
    harness: Harness, rows: int, size: int, settings: dict[str, str]
) -> None:
    spec = harness.write_spec(
        f"""
name: large
steps:
  gen: {{type: "mysteps:Count", rows: {rows}}}
  dbl: {{type: "mysteps:Double", after: gen, input_batch_size: {size}}}
  all: {{type: "failing_steps:Everything", after: dbl, input_batch_size: {size}}}
  last: {{type: "mysteps:DoubleAsync", after: all, input_batch_size: 70, seconds: 0.0}}
"""
    )
    code, text = harness.run(spec, timeout=90, **settings)
    assert code == 0, text
    assert [(row["n"], row["all"]) for row in harness.rows()] == [(n, rows) for n in range(rows)]
