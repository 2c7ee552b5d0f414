"""Steps that the coordinator cannot import: a worker of another host, which can, says what they are."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.protocol.keys import Keys
from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import check_end, coordinator, said, the_run, worker
from tests.support.runs.sight import Sight

DEVICE_STEPS = STEPS_FOLDER / "device_steps.py"
SPEC = """name: far
steps:
  load: {type: "mysteps:Count", rows: 90, batch_size: 20}
  scale: {type: "gpusteps:Scale", after: load, input_batch_size: 10, factor: 5}
  keep: {type: KeepColumns, after: scale, columns: [n, scaled]}
"""
TWO = SPEC.replace("KeepColumns, after: scale, columns: [n, scaled]", '"gpusteps:Half", after: scale')
KNOWN = ("load", "keep")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    for harness in harnesses(tmp_path, STARTING_HINT="0.2"):
        install(harness)
        yield harness


def install(harness: Harness, *, device: str = "device", change: str = "") -> None:
    """Puts the module, and what it imports, where only a worker with this `--base-dir` finds it."""
    folder = harness.folder / device
    folder.mkdir(exist_ok=True)
    (folder / "gpulib.py").write_text("")
    (folder / "gpusteps.py").write_text(f"{DEVICE_STEPS.read_text()}\nimport gpulib\n{change}")


def device_worker(harness: Harness, url: str, step: str, device: str = "device") -> Command:
    where = ("--allow", "gpusteps", "--base-dir", str(harness.folder / device))
    return harness.start("pipeline-worker", "--step", step, "--broker", url, *where)


def known_workers(harness: Harness, url: str, steps: tuple[str, ...] = KNOWN) -> list[Command]:
    return [worker(harness, url, step) for step in steps]


def waiting_workers(harness: Harness, url: str) -> list[Command]:
    """Workers that have joined a run whose coordinator waits."""
    workers = known_workers(harness, url)
    for one in workers:
        said(one, "is loaded once workers of 'scale' have described them")
    return workers


def waits_for_a_worker(run: Command, step: str = "scale") -> None:
    said(run, f"no worker for step '{step}' yet; start one with: pipeline-worker --step {step} ")


# what follows from a description


def test_the_first_worker_of_a_step_says_what_it_is(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    workers = known_workers(harness, redis_url)
    waits_for_a_worker(run)
    assert "spec.yaml:4: step 'scale': 'gpusteps:Scale' is not allowed here" in run.text
    assert "--allow gpusteps --base-dir DIR" in run.text
    assert "loaded by worker" not in workers[0].text, "nobody loads a step of a run that may turn out to be wrong"
    check_end(harness, run, [*workers, device_worker(harness, redis_url, "scale")])
    assert harness.rows("keep") == [{"n": n, "scaled": 5 * n} for n in range(90)]
    assert "a worker has described step 'scale'" in harness.log


def test_every_kind_of_step_can_be_described_whatever_the_order_of_starting(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec("""
name: all-far
steps:
  numbers: {type: "gpusteps:Numbers", rows: 60, batch_size: 7}
  scale: {type: "gpusteps:Scale", after: numbers, input_batch_size: 9, output_mappings: {scaled: tripled}}
  half: {type: "gpusteps:Half", after: scale, input_batch_size: 8}
  backwards: {type: "gpusteps:Backwards", after: half, input_batch_size: 11}
  keep: {type: KeepColumns, after: backwards, columns: [n, tripled, half]}
""")
    far = ["half", "numbers", "backwards", "scale"]
    workers = [device_worker(harness, redis_url, step) for step in far[:2]]
    for waiting in workers:
        said(waiting, "waiting for a run that needs step")
    run = coordinator(harness, spec, redis_url)
    workers += [*known_workers(harness, redis_url, ("keep",)), *(device_worker(harness, redis_url, s) for s in far[2:])]
    check_end(harness, run, workers)
    expected = [{"n": n, "tripled": 3 * n, "half": n / 2} for n in reversed(range(60))]
    assert harness.rows("keep") == expected


def test_a_module_beside_the_spec_may_import_what_only_workers_have(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    (harness.folder / "gpusteps.py").write_text((harness.folder / "device" / "gpusteps.py").read_text())
    run = coordinator(harness, spec, redis_url)
    said(run, "cannot be imported: ModuleNotFoundError: No module named 'gpulib'")
    check_end(harness, run, [*known_workers(harness, redis_url), device_worker(harness, redis_url, "scale")])
    assert len(harness.rows("keep")) == 90


def test_local_workers_need_the_module_here(harness: Harness) -> None:
    code, text = harness.run(harness.write_spec(SPEC))
    assert (code, "spec.yaml:4: step 'scale': 'gpusteps:Scale' is not allowed here" in text) == (2, True)


# what is found out once it is known


def test_a_missing_column_ends_the_run_before_it_begins(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC.replace("[n, scaled]", "[n, scald]"))
    run = coordinator(harness, spec, redis_url)
    workers = [*waiting_workers(harness, redis_url), device_worker(harness, redis_url, "scale")]
    assert run.wait(60) == 2
    expected = (
        "spec.yaml:5: step 'keep' needs column 'scald', which no earlier step provides; did you mean 'scaled'? "
        "(input_mappings: {scald: scaled})\n"
    )
    assert run.text.endswith(expected)
    assert [one.wait(30) for one in workers] == [0, 0, 0]
    assert (harness.record().status, Sight(harness, redis_url).journal()) == ("failed", [])


def test_a_wrong_parameter_is_found_by_the_worker_and_said_with_its_line(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC.replace("factor: 5", "facter: 5")), redis_url)
    far = device_worker(harness, redis_url, "scale")
    assert run.wait(60) == 2
    assert "spec.yaml:4: step 'scale': gpusteps:Scale has no parameter 'facter'; did you mean 'factor'?" in run.text
    assert far.wait(30) == 78


def test_a_module_that_was_mended_is_described_anew(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    install(harness, device="broken", change="Scale.outputs = property(lambda self: ['scald'])\n")
    run = coordinator(harness, spec, redis_url)
    workers = [*waiting_workers(harness, redis_url), device_worker(harness, redis_url, "scale", "broken")]
    assert (run.wait(60), [one.wait(30) for one in workers]) == (2, [0, 0, 0])
    run = coordinator(harness, spec, redis_url)
    check_end(harness, run, [*known_workers(harness, redis_url), device_worker(harness, redis_url, "scale")])


# another source


def test_a_worker_with_another_source_leaves_and_says_so(harness: Harness, redis_url: str) -> None:
    install(harness, device="other", change="# another version\n")
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    first = device_worker(harness, redis_url, "scale")
    said(run, "a worker has described step 'scale'")
    other = device_worker(harness, redis_url, "scale", "other")
    assert other.wait(30) == 78
    assert "step 'scale': the source of Scale on this host differs from the run's (digest " in other.text
    assert "install the same version on all hosts, or start over with --fresh" in other.text
    said(run, "has left: step 'scale': the source of Scale on this host differs")
    check_end(harness, run, [*known_workers(harness, redis_url), first])


def test_a_fresh_run_takes_the_source_that_is_there_now(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC.replace("factor: 5", "factor: 5, seconds: 0.1"))
    install(harness, device="other", change="# another version\n")
    run = coordinator(harness, spec, redis_url)
    workers = [*waiting_workers(harness, redis_url), device_worker(harness, redis_url, "scale")]
    Sight(harness, redis_url).wait_for_results("scale", 1)
    run.kill(signal.SIGINT)
    assert (run.wait(30), [one.wait(30) for one in workers]) == (130, [0, 0, 0])
    again = coordinator(harness, spec, redis_url)
    waits_for_a_worker(again)
    other = device_worker(harness, redis_url, "scale", "other")
    assert other.wait(30) == 78
    again.kill(signal.SIGINT)
    assert again.wait(30) == 130
    fresh = coordinator(harness, spec, redis_url, "--fresh")
    said(fresh, "waiting for a worker of the step to describe it")
    workers = [*known_workers(harness, redis_url), device_worker(harness, redis_url, "scale", "other")]
    check_end(harness, fresh, workers)


# coordinators that are replaced


def test_ctrl_c_ends_the_wait_and_the_same_command_goes_on(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    run = coordinator(harness, spec, redis_url)
    workers = waiting_workers(harness, redis_url)
    run.kill(signal.SIGINT)
    assert (run.wait(20), [one.wait(20) for one in workers]) == (130, [0, 0]), run.text
    assert harness.record().status == "stopped"
    again = coordinator(harness, spec, redis_url)
    check_end(harness, again, [*known_workers(harness, redis_url), device_worker(harness, redis_url, "scale")])


def test_a_stop_from_elsewhere_ends_the_wait(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    waits_for_a_worker(run)
    RunRegistry(Connection(redis_url)).ask_to_stop(the_run(redis_url))
    assert run.wait(20) == 130


def test_another_coordinator_is_told_who_waits(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC)
    run = coordinator(harness, spec, redis_url)
    waits_for_a_worker(run)
    second = coordinator(harness, spec, redis_url)
    assert second.wait(20) == 75
    assert f"process {run.process.pid}" in second.text


def test_what_was_said_to_a_coordinator_that_died_need_not_be_said_again(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(TWO)
    run = coordinator(harness, spec, redis_url)
    scale = device_worker(harness, redis_url, "scale")
    said(run, "a worker has described step 'scale'")
    run.kill()
    run.wait(10)
    scale.kill()
    scale.wait(10)
    again = coordinator(harness, spec, redis_url)
    waits_for_a_worker(again, "keep")
    keep = device_worker(harness, redis_url, "keep")
    said(again, "a worker has described step 'keep'")
    workers = [keep, worker(harness, redis_url, "load")]
    said(workers[1], "step 'load' loaded")
    check_end(harness, again, [*workers, device_worker(harness, redis_url, "scale")])
    assert [row["half"] for row in harness.rows("keep")] == [n / 2 for n in range(90)]


def test_a_run_that_had_begun_goes_on_without_asking(harness: Harness, redis_url: str) -> None:
    spec = harness.write_spec(SPEC.replace("factor: 5", "factor: 5, seconds: 0.2"))
    run = coordinator(harness, spec, redis_url)
    workers = [*known_workers(harness, redis_url), device_worker(harness, redis_url, "scale")]
    Sight(harness, redis_url).wait_for_results("scale", 2)
    run.kill()
    run.wait(10)
    again = coordinator(harness, spec, redis_url)
    check_end(harness, again, workers)
    assert "waiting for a worker of the step" not in again.text
    assert harness.rows("keep") == [{"n": n, "scaled": 5 * n} for n in range(90)]


def test_a_descriptor_that_no_worker_wrote_is_refused_in_words(harness: Harness, redis_url: str) -> None:
    run = coordinator(harness, harness.write_spec(SPEC), redis_url)
    waits_for_a_worker(run)
    Connection(redis_url).command("HSET", Keys(the_run(redis_url)).progress, "descriptor:scale", b'{"kind": "evil"}')
    assert run.wait(20) == 1
    assert "the descriptor of step 'scale' in the broker is not one that this version of Penstock" in run.text
    assert "Traceback" not in run.text
    wait_for(lambda: not harness.processes())
