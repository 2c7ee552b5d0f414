"""Runs whose steps need GPUs: on hosts that declare some, no two workers share one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from common.broker.connection import Connection
from common.protocol.keys import device_key
from tests.support.runs.gpu_hosts import HOST, ONE, Gpus, holder, hosts_of
from tests.support.runs.harness import wait_for
from tests.support.runs.sight import Sight


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield from hosts_of(tmp_path)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpus]:
    yield from hosts_of(tmp_path_factory.mktemp("other"))


# what a step sees


def test_each_worker_sees_the_devices_that_it_has_taken(gpus: Gpus) -> None:
    code, said = gpus.run(gpus.write(ONE, gpus=2))
    assert code == 0, said
    assert {row["devices"] for row in gpus.rows("placed")} == {"0,1"}
    (worker,) = gpus.loaded()
    assert worker.imported_in == worker.pid, "the step's module is imported in the worker, not before it is forked"
    assert "has taken 2 GPUs of host" in gpus.log


def test_the_users_choice_of_devices_is_respected(gpus: Gpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    code, said = gpus.run(gpus.write(ONE, gpus=2), DEVICES="0,1,2,3")
    assert code == 0, said
    assert {row["devices"] for row in gpus.rows("placed")} == {"3,1"}


def test_a_step_that_asks_for_none_is_left_with_what_the_user_chose(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    code, said = gpus.run(gpus.write(ONE, gpus=0))
    assert code == 0, said
    assert {row["devices"] for row in gpus.rows("placed")} == {"3,1"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "0"),
        ("cuda_devices: [1]", "1"),
        ("cuda_devices: [1, 0]", "1,0"),
        ("disable_cuda_device_placement: true", "none"),
    ],
)
def test_a_step_with_the_mixin_says_what_it_runs_on(gpus: Gpus, options: str, expected: str) -> None:
    spec = ONE.replace(":Placed", ":PlacedByItself").replace("gpus: {gpus}, ", "") + f"    {options}\n"
    code, said = gpus.run(gpus.write(spec, rows=20))
    assert code == 0, said
    assert {row["devices"] for row in gpus.rows("placed")} == {expected}


# more GPUs needed than there are


def test_four_replicas_on_two_devices_take_them_in_turns_as_workers_die(gpus: Gpus) -> None:
    gpus.hold()
    run = gpus.start_run(gpus.write(ONE, replicas=4, rows=1200))
    sight = Sight(gpus)
    first, second = gpus.wait_for_loaded(2)
    assert {first.devices, second.devices} == {"0", "1"}
    wait_for(lambda: run.text.count(f"waits for 1 of 2 GPUs of host {HOST}: 0 is held by worker") == 2, 30, "words")
    sight.wait_for_results("placed", 5)
    psutil.Process(first.pid).kill()
    third = gpus.wait_for_loaded(3)[2]
    gpus.release()
    assert third.devices == first.devices
    assert run.wait(60) == 0, run.text
    assert "no worker for step" not in run.text.partition("waits for")[2]
    assert sorted(row["n"] for row in gpus.rows("placed")) == list(range(1200))
    assert {row["worker"] for row in gpus.rows("placed")} == {worker.pid for worker in gpus.loaded()}


TWO = """
name: two
steps:
  load: {{type: "mysteps:Count", rows: 200, batch_size: 10}}
  first: &step
    type: "gpu_steps:Placed"
    after: load
    input_batch_size: 10
    seconds: 0.03
    notes: "{notes}"
    resources: {{gpus: 1, replicas: {replicas}}}
  second: {{<<: *step, after: first, resources: {{gpus: 1}}}}
"""


def test_more_replicas_than_devices_leave_one_for_every_step(gpus: Gpus) -> None:
    code, said = gpus.run(gpus.write(TWO, replicas=3))
    assert code == 0, said
    assert len(gpus.loaded("first")) == len(gpus.loaded("second")) == 1
    assert "1 is free, but reserved for a step that has none yet" in said or "is held by worker" in said


def test_steps_that_can_never_have_devices_at_the_same_time_end_the_run(gpus: Gpus) -> None:
    code, said = gpus.run(gpus.write(TWO), DEVICES="0")
    assert code == 1
    assert f"host {HOST} cannot serve these steps at the same time: 'first' 1 GPU, 'second' 1 GPU; it offers 1" in said
    assert "load_groups" in said
    assert gpus.loaded("first") == gpus.loaded("second") == []


def test_steps_may_take_turns_on_one_device(gpus: Gpus) -> None:
    code, said = gpus.run(gpus.write(TWO + "load_groups: [[first], [second]]\n"), DEVICES="0")
    assert code == 0, said
    assert [worker.devices for worker in gpus.loaded("first") + gpus.loaded("second")] == ["0", "0"]


def test_a_host_with_too_few_devices_ends_a_local_run(gpus: Gpus) -> None:
    code, said = gpus.run(gpus.write(ONE, gpus=3))
    assert code == 1
    assert f"step 'placed' needs 3 GPUs, but host {HOST} offers 2 (PENSTOCK_DEVICES=0,1)" in said


def test_an_external_worker_on_such_a_host_leaves_with_78_and_the_run_waits_for_another(
    gpus: Gpus, redis_url: str
) -> None:
    spec = gpus.write(ONE, gpus=3)
    run = gpus.start_run(spec, "--broker", redis_url, "--workers", "external")
    load = gpus.start_worker(redis_url, "load")
    refused = gpus.start_worker(redis_url, "placed")
    assert refused.wait(30) == 78, refused.text
    wait_for(lambda: "has left: step 'placed' needs 3 GPUs" in run.text, 30, "the reason")
    able = gpus.start_worker(redis_url, "placed", DEVICES="0,1,2")
    assert [run.wait(60), load.wait(30), able.wait(30)] == [0, 0, 0], run.text


# two runs


def test_a_run_waits_for_the_devices_of_another_and_says_whose_they_are(
    gpus: Gpus, other: Gpus, redis_url: str
) -> None:
    first = gpus.start_run(gpus.write(ONE, name="first", rows=5000, gpus=2), "--broker", redis_url)
    gpus.wait_for_loaded(1)
    spec = other.write(ONE, name="second", rows=20, notes=gpus.folder, gpus=2)
    second = other.start_run(spec, "--broker", redis_url)
    wait_for(lambda: f"waits for 2 of 2 GPUs of host {HOST}: 0, 1 are held by worker" in second.text, 30, "words")
    assert "of step 'placed' (run first-" in second.text
    status = other.start("pipeline-coordinator", "status", Sight(other, redis_url).run_id, "--broker", redis_url)
    assert status.wait() == 0
    assert "waits for 2 of 2 GPUs" in status.text
    first.kill(signal.SIGINT)
    assert [first.wait(60), second.wait(60)] == [130, 0], second.text
    assert "no worker for step" not in second.text.partition("waits for")[2]
    assert len(gpus.loaded()) == 2
    wait_for(lambda: not holder(redis_url), 10, "devices that nobody has")


def test_a_run_that_waits_for_devices_can_be_stopped(gpus: Gpus, redis_url: str) -> None:
    Connection(redis_url).command(
        *("SET", device_key(HOST, "0"), '{"run":"r","step":"s","worker":"w","pid":1,"wants":1,"beside":{}}')
    )
    run = gpus.start_run(gpus.write(ONE), "--broker", redis_url, DEVICES="0")
    wait_for(lambda: "0 is held by worker w of step 's' (run r, process 1)" in run.text, 30, "words")
    run.kill(signal.SIGINT)
    assert run.wait(20) == 130, run.text
    assert gpus.loaded() == []
