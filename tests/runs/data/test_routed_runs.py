"""Runs that are routed: by functions that read rows, in the workers, and by those that the coordinator runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.protocol.batch import Result, Routed
from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.hosts import coordinator
from tests.support.runs.sight import Sight
from tests.support.steps.routes import topic

ROWS = 203
SIZE = 10
ROUTED = {
    "generator": "{type: 'routes:Numbers', rows: 203, batch_size: 10}",
    "step": "{type: 'routes:Label', after: count, input_batch_size: 10}",
    "async": "{type: 'routes:LabelAsync', after: count, input_batch_size: 10}",
    "global": "{type: 'routes:LabelAll', after: count, input_batch_size: 10}",
}
"""Kinds of steps that give the same rows in batches of the same size."""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(
    harness: Harness, label: str = ROUTED["step"], function: str = "by_topic", seconds: float = 0.0, **options: Any
) -> Path:
    """count -> label -> (land, sea) -> all; the batch sizes do not divide each other."""
    harness.folder.joinpath("routes.py").write_text((STEPS_FOLDER / "routes.py").read_text())
    count = "" if "Numbers" in label else "count: {type: 'mysteps:Count', rows: 203, batch_size: 17}"
    given = "".join(f", {name}: {value}" for name, value in options.items())
    return harness.write_spec(
        f"""
name: topics
steps:
  {count}
  label: {label}
  land: {{type: "routes:Via", after: label, input_batch_size: 3, seconds: {seconds}}}
  sea: {{type: "routes:Via", after: label, input_batch_size: 50, seconds: {seconds}}}
  all: {{type: "routes:Together", after: [sea, land], input_batch_size: 4}}
  keep: {{type: KeepColumns, after: all, columns: [n, topic, via]}}
routing:
  label: {{function: "routes:{function}"{given}}}
"""
    )


def expected(without: set[int] | None = None) -> list[dict[str, Any]]:
    """Each batch of ten goes whole to the steps of its topics, and comes out of `all` in the order of its `after`."""
    rows = []
    for start in range(0, ROWS, SIZE):
        batch = [n for n in range(start, min(start + SIZE, ROWS)) if n not in (without or ())]
        for branch in ("sea", "land"):
            if branch in map(topic, batch):
                rows += [{"n": n, "topic": topic(n), "via": branch} for n in batch]
    return rows


@pytest.mark.parametrize("kind", list(ROUTED))
def test_what_a_step_of_any_kind_puts_out_goes_where_its_rows_belong(harness: Harness, kind: str) -> None:
    code, text = harness.run(write(harness, ROUTED[kind]))
    assert code == 0, text
    assert harness.rows() == expected()


def test_three_workers_for_each_step_give_the_rows_of_one(harness: Harness) -> None:
    spec = write(harness)
    more = [f"--set={step}.resources.replicas=3" for step in ("label", "land", "sea", "all", "keep")]
    code, text = harness.run(spec, *more)
    assert code == 0, text
    assert harness.rows() == expected()


@pytest.mark.parametrize("step", ["label", "sea"])
def test_a_killed_worker_changes_nothing(harness: Harness, step: str) -> None:
    command = harness.start_run(write(harness, seconds=0.1))
    sight = Sight(harness)
    sight.wait_for_results(step, 3)
    sight.worker(step).kill()
    assert command.wait() == 0, command.text
    assert harness.rows() == expected()
    assert f"worker of step '{step}' died (SIGKILL)" in harness.log


def test_the_choice_is_part_of_the_result_and_the_coordinator_chooses_nothing(harness: Harness, redis_url: str) -> None:
    code, text = harness.run(write(harness, ROUTED["global"]), "--broker", redis_url)
    assert code == 0, text
    journal = Sight(harness, redis_url).journal()
    (result,) = (entry for entry in journal if isinstance(entry, Result) and entry.step == "label")
    assert result.routed is not None
    assert len(result.routed) == len(result.chunks) == 21
    assert set(result.routed) == {("sea",), ("land", "sea")}
    assert not [entry for entry in journal if isinstance(entry, Routed)]


# rows that fail


def test_failed_rows_are_not_shown_to_the_function_and_a_batch_of_nothing_else_goes_nowhere(harness: Harness) -> None:
    bad = {3, 8, *range(20, 30), 202}
    label = f"{{type: 'routes:Label', after: count, input_batch_size: 10, bad: {sorted(bad)}, retries: 0}}"
    code, text = harness.run(write(harness, label))
    assert code == 3, text
    assert harness.rows() == expected(without=bad)
    assert harness.record().failed == {"label": len(bad)}


def test_a_batch_that_ran_row_by_row_is_routed_as_well(harness: Harness) -> None:
    label = "{type: 'routes:Label', after: count, input_batch_size: 10, fatal: [33], max_deliveries: 1}"
    code, text = harness.run(write(harness, label), timeout=90)
    assert code == 3, text
    assert harness.rows() == expected(without={33})


# functions that cannot choose


@pytest.mark.parametrize(
    ("kind", "what", "words"),
    [
        ("generator", "raise", "the routing function of step 'label' raised: LookupError: no way (at "),
        ("step", "nothing", "the routing function of step 'label' chose nothing for batch 5; it must choose from ['"),
        ("async", "unknown", "the routing function of step 'label' chose 'sky' for batch 5; it must choose from ['"),
        ("global", "raise", "the routing function of step 'label' raised: LookupError: no way (at "),
    ],
)
def test_a_function_that_cannot_choose_halts_the_run_which_the_next_command_goes_on_with(
    harness: Harness, kind: str, what: str, words: str
) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    spec = write(harness, ROUTED[kind], "while_there_is", cause=f"'{cause}'", at=55, what=what)
    code, text = harness.run(spec)
    assert code == 1, text
    assert f"step 'label': {words}" in text
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows() == expected()


def test_a_function_that_kills_its_worker_halts_the_run_in_words(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    label = "{type: 'routes:Label', after: count, input_batch_size: 10, max_deliveries: 1}"
    spec = write(harness, label, "while_there_is", cause=f"'{cause}'", at=55, what="kill")
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "died each of 2 times that the routing function of step 'label' had the rows of batch 5" in text
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert harness.rows() == expected()


# who may run it


def test_a_worker_that_may_not_import_the_function_leaves_and_says_so(harness: Harness, redis_url: str) -> None:
    label = "{type: LoadDataFromDicts, data: [{n: 1, topic: land}, {n: 9, topic: sea}], batch_size: 1}"
    spec = write(harness, label)
    run = coordinator(harness, spec, redis_url, STARTING_HINT="0.1")
    wait_for(lambda: "--step label" in run.text, what="the hint")
    (hint,) = (line for line in run.text.splitlines() if "--step label" in line)
    assert "--allow routes --base-dir" in hint
    worker = harness.start("pipeline-worker", "--step", "label", "--broker", redis_url, "--base-dir", ".")
    assert worker.wait() == 78, worker.text
    assert "'routes:by_topic' is not allowed here; to let this process import it: --allow routes" in worker.text


def test_a_worker_with_another_source_of_the_function_leaves_and_says_so(harness: Harness, redis_url: str) -> None:
    label = "{type: LoadDataFromDicts, data: [{n: 1, topic: land}, {n: 9, topic: sea}], batch_size: 1}"
    coordinator(harness, write(harness, label), redis_url)
    other = harness.folder / "other"
    other.mkdir()
    (other / "routes.py").write_text((harness.folder / "routes.py").read_text() + "# changed\n")
    arguments = ("--step", "label", "--broker", redis_url, "--allow", "routes", "--base-dir", "other")
    worker = harness.start("pipeline-worker", *arguments)
    assert worker.wait() == 78, worker.text
    assert "the source of its routing function 'by_topic' on this host differs from the coordinator's" in worker.text


# functions that the coordinator runs


def test_a_function_of_the_users_may_choose_by_the_number_of_the_batch(harness: Harness) -> None:
    code, text = harness.run(write(harness, function="in_turn", first=1))
    assert code == 0, text
    branches = ("sea", "land")  # the steps come in the order of the spec: land, then sea
    assert harness.rows() == [{"n": n, "topic": topic(n), "via": branches[n // SIZE % 2]} for n in range(ROWS)]
