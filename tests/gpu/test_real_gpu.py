"""On a real GPU: workers see the device that they took and no other, and its memory is free when they take it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.support.runs.harness import Harness, wait_for
from tests.support.runs.sight import Sight
from worker.host.devices import HostDevices, host_devices

if shutil.which("nvidia-smi") is None:
    pytest.skip("there is no GPU here: no nvidia-smi", allow_module_level=True)
if find_spec("torch") is None:
    pytest.skip("torch is not installed, which these tests run on the GPU", allow_module_level=True)

pytestmark = pytest.mark.timeout(600)
SPEC = """
name: gpu
steps:
  load: {{type: "mysteps:Count", rows: {rows}, batch_size: 10, seconds: {seconds}}}
  first: {{type: "torch_steps:OnGpu", after: load, input_batch_size: 10, resources: {{gpus: 1, replicas: {replicas}}}}}
"""
SECOND = '  second: {type: "torch_steps:OnGpu", after: first, input_batch_size: 10, resources: {gpus: 1}}\n'
TURNS = "load_groups: [[load], [first], [second]]\n"


class GpuHarness(Harness):
    """A harness with `torch_steps` beside its specs."""

    def write(self, text: str) -> Path:
        (self.folder / "torch_steps.py").write_text(Path(__file__).with_name("torch_steps.py").read_text())
        return self.write_spec(text)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[GpuHarness]:
    harness = GpuHarness(tmp_path, {"WORKER_LEASE": "5", "COORDINATOR_LEASE": "5"})
    try:
        yield harness
    finally:
        harness.end()


@pytest.fixture(scope="module")
def offered() -> HostDevices:
    found = host_devices(None, os.environ)
    if not found.devices:
        pytest.skip(f"this process may use no GPU: {found}")
    return found


def spec(rows: int = 40, seconds: float = 0.0, replicas: int = 1) -> str:
    return SPEC.format(rows=rows, seconds=seconds, replicas=replicas)


def test_the_devices_are_those_that_torch_sees(offered: HostDevices) -> None:
    import torch

    assert torch.cuda.device_count() == len(offered.devices)
    uuids = [getattr(torch.cuda.get_device_properties(number), "uuid", None) for number in range(len(offered.devices))]
    if all(uuids):
        assert sorted(f"GPU-{uuid}" for uuid in uuids) == sorted(device.name for device in offered.devices)


def test_a_worker_sees_exactly_one_device_and_computes_on_it(harness: GpuHarness, offered: HostDevices) -> None:
    code, said = harness.run(harness.write(spec()), timeout=300)
    assert code == 0, said + harness.log
    rows = harness.rows("first")
    assert len(rows) == 40
    assert {row["first_count"] for row in rows} == {1}
    assert {row["first_devices"] for row in rows} == {offered.devices[0].visible}
    assert [row["first_sum"] for row in rows if row["n"] < 10] == [pytest.approx(285**0.5)] * 10


def test_two_steps_that_fill_a_device_take_turns_on_it(
    harness: GpuHarness, offered: HostDevices, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = offered.devices[0].visible
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", one)
    code, said = harness.run(harness.write(spec() + SECOND + TURNS), timeout=300)
    assert code == 0, said + harness.log
    rows = harness.rows("second")
    assert len(rows) == 40
    assert {(row["first_devices"], row["second_devices"]) for row in rows} == {(one, one)}
    assert {(row["first_count"], row["second_count"]) for row in rows} == {(1, 1)}
    assert all(row["second_free"] > 0.6 for row in rows), "the memory of the first step was free again"


def test_when_a_worker_is_killed_the_next_one_finds_the_memory_of_the_device_free(
    harness: GpuHarness, offered: HostDevices
) -> None:
    count = len(offered.devices)
    run = harness.start_run(harness.write(spec(rows=600, seconds=0.5, replicas=count + 1)))
    sight = Sight(harness)
    wait_for(lambda: f"waits for 1 of {count} GPU" in run.text, 120, "a worker that waits for a device")
    sight.wait_for_results("first", 3, timeout=120)
    victim = wait_for(lambda: sight.holder("first"), 60, "a worker with a batch in hand")
    psutil.Process(victim).kill()
    assert run.wait(500) == 0, run.text + harness.log
    rows = harness.rows("first")
    assert sorted(row["n"] for row in rows) == list(range(600))
    assert all(row["first_free"] > 0.6 for row in rows)
    assert len({row["first_pid"] for row in rows}) > count


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_an_llm_of_the_users_own_runs_on_the_device_that_its_worker_took(
    harness: GpuHarness, offered: HostDevices
) -> None:
    text = """
name: llm
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: Why is the sky blue?}, {instruction: What is a weir?}]}
  generate: {type: TextGeneration, after: load, llm: {type: "torch_steps:TinyLM"}}
"""
    code, said = harness.run(harness.write(text), timeout=300)
    assert code == 0, said + harness.log
    assert [row["generation"][:10] for row in harness.rows("generate")] == ["1 device: ", "1 device: "]
    assert "has taken 1 GPU of host" in harness.log
