"""What steps print and log is in the run's `pipeline.log`, and not on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness) -> Path:
    return harness.write_spec(
        f"""
name: talking
steps:
  gen: {{type: "mysteps:Count", rows: 100}}
  talks: {{type: "failing_steps:Talks", after: gen, unloaded: "{harness.folder / "unloaded"}"}}
"""
    )


def said(harness: Harness, text: str) -> list[str]:
    return [line for line in harness.log.splitlines() if text in line]


def check_log(harness: Harness) -> None:
    for text, level in [
        ("printed at row 0", "INFO"),
        ("printed at row 50", "INFO"),
        ("logged at row 50", "INFO"),
        ("the last words", "INFO"),
    ]:
        (line,) = said(harness, text)
        assert f" {level} step=talks worker=" in line
        assert line.endswith(f" {text}")
    for text, level in [("complained", "WARNING"), ("no line end", "INFO"), ("a library warns", "WARNING")]:
        assert len(said(harness, text)) == 2
        assert all(f" {level} step=talks worker=" in line for line in said(harness, text))


def test_what_local_steps_print_and_log_lands_in_the_log_to_the_last_word(harness: Harness) -> None:
    code, text = harness.run(write(harness))
    assert code == 0, text
    check_log(harness)
    for word in ("printed", "complained", "logged", "warns", "words"):
        assert word not in text
    assert (harness.folder / "unloaded").read_text() == "unloaded"


def test_what_external_steps_print_and_log_lands_in_the_log_too(harness: Harness, redis_url: str) -> None:
    spec = write(harness)
    command = harness.start_run(spec, "--broker", redis_url, "--workers", "external")
    workers = [
        harness.start(
            "pipeline-worker", "--step", step, "--broker", redis_url, "--allow", module, "--base-dir", harness.folder
        )
        for step, module in [("gen", "mysteps"), ("talks", "failing_steps")]
    ]
    assert command.wait() == 0, command.text
    assert [worker.wait() for worker in workers] == [0, 0]
    check_log(harness)
    assert "printed" not in command.text
    assert "printed at row 50" in workers[1].text
    assert harness.left_over() == []


def test_the_log_of_a_run_that_is_gone_on_with_is_kept(harness: Harness) -> None:
    spec = harness.write_spec(
        f"""
name: talking
steps:
  gen: {{type: "failing_steps:Breaks", at: 120, cause: "{harness.folder / "cause"}", retries: 0}}
  talks: {{type: "failing_steps:Talks", after: gen}}
"""
    )
    (harness.folder / "cause").touch()
    assert harness.run(spec)[0] == 1
    before = harness.log
    assert "no row 120 today" in before
    (harness.folder / "cause").unlink()
    assert harness.run(spec)[0] == 0
    assert harness.log.startswith(before)
    assert len(said(harness, "printed at row")) == 10
