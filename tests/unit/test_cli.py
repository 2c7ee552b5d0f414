"""`pipeline-coordinator` at the prompt: what it says and what it ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.batch import DeadLetter
from coordinator.cli import COMMANDS, group
from coordinator.failures import FailureLog
from coordinator.run_directory import RunDirectory, RunRecord

ROOT = Path(__file__).parents[2]
SPEC = """\
name: demo
description: Tries things out.
steps:
  load:
    type: LoadDataFromDicts
    data: [{instruction: a}, {instruction: b}]
  left:
    type: TextGeneration
    after: load
    llm: {type: EchoLLM, latency: 0.5}
    output_mappings: {generation: answer}
    retries: 7
  right: {type: TextGeneration, after: load, llm: {type: EchoLLM}}
  join: {type: CombineOutputs, after: [left, right]}
  keep: {type: KeepColumns, after: join, columns: [instruction, answer]}
"""

HOLD_THE_LOCK = """
import signal, sys
from pathlib import Path
from coordinator.run_directory import RunDirectory
RunDirectory(Path(sys.argv[1])).acquire()
try:
    print("locked", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments], prog_name="pipeline-coordinator")


def make_run(tmp_path: Path, signature: str, status: str = "complete", days: float = 0.0) -> RunDirectory:
    """A run directory as a run leaves it, last changed some days ago."""
    directory = RunDirectory.of(tmp_path / "cache", "demo", signature)
    when = datetime.now(UTC) - timedelta(days=days)
    fields = {"run": f"demo-{signature}", "pipeline": "demo", "signature": signature, "status": status}
    with directory:
        record = RunRecord.model_validate({**fields, "created": when, "rows": {"keep": 2000}})
        directory.write(record)
        (directory.path / "run.json").write_text(record.model_copy(update={"updated": when}).model_dump_json())
        (directory.path / "dataset").mkdir()
        (directory.path / "dataset" / "part").write_bytes(b"x" * 3_000_000)
    return directory


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[RunDirectory, subprocess.Popen[str]]]:
    """A run whose directory another process has locked."""
    directory = make_run(tmp_path, "cccc", "running", days=30)
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(directory.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield directory, process
        process.kill()


# help and usage


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom coordinator.cli import group\n"
        "try:\n    group(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('redis', 'pydantic', 'rich', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: pipeline-coordinator {command} ")


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    result = call("vaildate", "spec.yaml")
    assert result.exit_code == 2
    assert "there is no command 'vaildate'; did you mean 'validate'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'SPEC'"),
        (["run", "s", "--limit", "0"], "0 is not in the range x>=1"),
        (["run", "s", "--workers", "some"], "'some' is not one of 'local', 'external'"),
        (["gc", "--older-than", "soon"], "'soon' is not an age; write a number and a unit: 30m, 12h, 7d or 2w"),
        (["run", "--frsh", "s"], "--fresh"),
    ],
)
def test_a_wrong_option_is_one_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_package_of_the_users_that_would_be_taken_for_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    code = "from coordinator.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "runs"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"the package 'common' would be imported from {tmp_path}/common/__init__.py" in done.stderr
    assert "Traceback" not in done.stderr


# specs


def test_validate_says_what_it_found(spec: Path) -> None:
    result = call("validate", spec)
    assert result.exit_code == 0
    assert result.output == f"{spec} is valid: 5 steps, 5 edges\n  from load to keep\n"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("after: [left, right]", "after: [left, rihgt]", ":14: step 'join' comes after 'rihgt', which is not a step"),
        ("type: LoadDataFromDicts", "type: LoadDataFromDict", ":5: step 'load': no step has the type"),
        ("columns: [instruction, answer]", "columns: [instruction, anwser]", "did you mean 'answer'?"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "info", "run"])
def test_a_mistake_is_one_message_with_file_and_line(
    spec: Path, command: str, right: str, wrong: str, message: str
) -> None:
    spec.write_text(SPEC.replace(right, wrong))
    result = call(command, spec)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"pipeline-coordinator: {spec}:")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_spec_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    result = call("validate", tmp_path / "none.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        f"pipeline-coordinator: {tmp_path}/none.yaml: cannot read the spec: No such file or directory\n",
    )


def test_a_wrong_override_is_named_as_it_was_given(spec: Path) -> None:
    result = call("validate", spec, "--set", "left.retires=3")
    assert result.exit_code == 2
    assert result.stderr.startswith("pipeline-coordinator: --set left.retires: ")


def test_info_draws_the_graph(spec: Path) -> None:
    lines = call("info", spec).output.splitlines()
    assert lines[0] == "demo: 5 steps, 5 edges"
    assert lines[3:6] == [
        "load (generator)",
        "├── left -> join, below",
        "└── right -> join -> keep (leaf)",
    ]


def test_info_shows_classes_columns_and_what_is_a_leaf(spec: Path) -> None:
    lines = [line.strip() for line in call("info", spec).output.splitlines()]
    assert "left  TextGeneration  asynchronous step" in lines
    assert "keep  KeepColumns  leaf" in lines
    assert "writes   generation as answer, model_name" in lines
    assert "after    left, right" in lines
    assert "columns  answer, generation, instruction, model_name" in lines


def parameter(output: str, step: str, name: str) -> list[str]:
    """The cells of the line of a parameter, below the heading of a step."""
    below = output[output.index(f"\n{step}  ") :]
    line = next(line for line in below.splitlines() if line.strip().startswith(f"{name} "))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_info_shows_values_beside_defaults(spec: Path) -> None:
    output = call("info", spec, "--set", "right.concurrency=9").output
    assert parameter(output, "left", "retries")[:3] == ["retries", "7", "2"]
    assert parameter(output, "left", "concurrency")[:2] == ["concurrency", "50"]
    assert parameter(output, "right", "concurrency")[:3] == ["concurrency", "9", "50"]
    assert parameter(output, "left", "llm.latency")[:3] == ["llm.latency", "0.5", "0.0"]


def test_info_marks_runtime_parameters(spec: Path) -> None:
    assert "llm.generation_kwargs *" in call("info", spec).output


def test_info_repeats_no_password(spec: Path) -> None:
    llm = "{type: OpenAILLM, model: m, base_url: 'http://me:hunter2@127.0.0.1:1/v1'}"
    spec.write_text(SPEC.replace("{type: EchoLLM}", llm))
    output = call("info", spec).output
    assert "hunter2" not in output
    assert "***" in output


def test_info_fits_a_narrow_terminal(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, call("info", spec).output.splitlines())) <= 80


def test_the_schema_is_json_schema_of_the_spec() -> None:
    result = call("schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert schema["$schema"].endswith("/schema")
    assert {"name", "steps", "routing"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


# runs


def test_runs_lists_the_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa", "stopped", days=3)
    make_run(tmp_path, "bbbb", days=0)
    lines = [line.split() for line in call("runs").output.splitlines()]
    assert lines[-2:] == [
        ["demo-bbbb", "demo", "complete", "just", "now", "2,000", "here"],
        ["demo-aaaa", "demo", "stopped", "3", "days", "ago", "2,000", "here"],
    ]


def test_without_runs_it_says_where_it_looked(tmp_path: Path) -> None:
    assert call("runs").output.startswith(f"There are no runs in {tmp_path}/cache")


def test_a_run_whose_coordinator_was_killed_is_interrupted_not_running(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa", "running")
    assert " interrupted " in call("runs").output
    assert "interrupted: its coordinator has ended" in call("status", "demo").output


def test_status_tells_who_coordinates(running: tuple[RunDirectory, subprocess.Popen[str]]) -> None:
    directory, process = running
    output = call("status", "demo-c").output
    assert f"running, coordinated by process {process.pid} on " in output
    assert str(directory.path) in output


def test_a_prefix_of_two_runs_is_refused_with_both_names(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    make_run(tmp_path, "abbb")
    result = call("rm", "demo-a")
    assert result.exit_code == 2
    assert "'demo-a' may be any of demo-aaaa, demo-abbb" in result.stderr


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("status", "other")
    assert result.exit_code == 2
    assert "no run 'other'" in result.stderr
    assert "the runs there are demo-aaaa" in result.stderr


# failures


@pytest.fixture
def failed(tmp_path: Path) -> RunDirectory:
    directory = make_run(tmp_path, "aaaa")
    log = FailureLog(directory.failures)
    letters = [
        DeadLetter("left", seq, 0, 3, f"RowError: request 17{seq} failed", 3, "ab12", {"text": "to be " * 99})
        for seq in range(30)
    ]
    log.append([*letters, DeadLetter("keep", 1, 0, 0, "\x1b[31mKeyError: 'x'", 1, "cd34")])
    log.redone("left", 0, 1)
    return directory


def test_failures_counts_kinds_of_errors_first(failed: RunDirectory) -> None:
    lines = call("failures", "demo").output.splitlines()
    assert lines[0] == "demo-aaaa: 30 rows failed"
    assert [line.split()[:3] for line in lines[3:5]] == [["left", "29", "RowError:"], ["keep", "1", "KeyError:"]]


def test_failures_shows_rows_with_step_place_error_attempts_and_worker(failed: RunDirectory) -> None:
    output = call("failures", "demo", "--step", "left", "--limit", "2").output
    assert "left  batch 1, row 3  3 attempts, worker ab12\n" in output
    assert "  error  RowError: request 171 failed\n" in output
    assert '  row    {"text": "to be to be' in output
    assert output.count("batch ") == 2
    assert output.rstrip().endswith(
        "27 more rows; all of them: pipeline-coordinator failures demo-aaaa --step left --json"
    )


def test_failures_as_json_has_everything_and_only_that(failed: RunDirectory) -> None:
    letters = [json.loads(line) for line in call("failures", "demo", "--json").stdout.splitlines()]
    assert len(letters) == 30
    assert letters[0]["seq"] == 1
    assert letters[0]["row"] == {"text": "to be " * 99}
    assert len(call("failures", "demo", "--json", "--limit", "3").stdout.splitlines()) == 3


def test_failures_prints_no_escapes_of_a_rows(failed: RunDirectory) -> None:
    assert "\x1b" not in call("failures", "demo").output


def test_a_misspelt_step_is_answered_with_the_nearest(failed: RunDirectory) -> None:
    result = call("failures", "demo", "--step", "lefft")
    assert result.exit_code == 2
    assert "no rows failed in step 'lefft'; did you mean 'left'?" in result.stderr


def test_a_run_without_failures_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("failures", "demo")
    assert (result.exit_code, result.output) == (0, "demo-aaaa has no failed rows.\n")


# stop, rm, gc


def test_stop_interrupts_the_coordinator_that_holds_the_lock(
    running: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    _, process = running
    result = call("stop", "demo-c")
    assert result.exit_code == 0
    assert f"Asked process {process.pid} on " in result.output
    assert process.stdout is not None
    assert process.stdout.readline() == "interrupted\n"


def test_stop_never_signals_a_process_that_only_has_the_number(
    running: tuple[RunDirectory, subprocess.Popen[str]],
) -> None:
    directory, process = running
    with subprocess.Popen(["sleep", "60"]) as bystander:
        lock = directory.path / "lock"
        lock.write_text(lock.read_text().replace(f"process {process.pid} ", f"process {bystander.pid} "))
        result = call("stop", "demo-c")
        assert result.exit_code == 1
        assert "cannot be reached from here" in result.stderr
        assert bystander.poll() is None
        bystander.send_signal(signal.SIGKILL)


def test_there_is_nothing_to_stop_in_a_run_that_has_ended(tmp_path: Path) -> None:
    make_run(tmp_path, "aaaa")
    result = call("stop", "demo")
    assert (result.exit_code, result.output) == (0, "demo-aaaa is not running; there is nothing to stop.\n")


def test_rm_removes_the_directory_and_says_what_it_freed(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "aaaa")
    other = make_run(tmp_path, "bbbb")
    result = call("rm", "demo-a")
    assert result.exit_code == 0
    assert f"{directory.path} (3.0 MB)" in result.output
    assert not directory.path.exists()
    assert other.path.exists()


@pytest.mark.parametrize("command", [["rm", "demo-c"], ["gc", "--older-than", "1d", "--unfinished"]])
def test_a_run_that_is_coordinated_is_not_removed(
    running: tuple[RunDirectory, subprocess.Popen[str]], command: list[str]
) -> None:
    directory, _ = running
    result = call(*command)
    assert result.exit_code == (75 if command[0] == "rm" else 0)
    assert (directory.path / "dataset" / "part").exists()


def test_gc_removes_old_complete_runs_alone(tmp_path: Path) -> None:
    old, new = make_run(tmp_path, "aaaa", days=8), make_run(tmp_path, "bbbb", days=6)
    unfinished = make_run(tmp_path, "dddd", "stopped", days=80)
    result = call("gc")
    assert result.output == (
        "removed demo-aaaa (complete, 8 days ago, 3.0 MB)\n"
        "Freed 3.0 MB in 1 run.\n"
        "Kept 1 old run that can still be gone on with; --unfinished removes those too.\n"
    )
    assert [each.path.exists() for each in (old, new, unfinished)] == [False, True, True]


def test_gc_takes_unfinished_runs_only_when_told_to(tmp_path: Path) -> None:
    unfinished = make_run(tmp_path, "dddd", "stopped", days=80)
    call("gc", "--unfinished")
    assert not unfinished.path.exists()


def test_gc_as_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    old = make_run(tmp_path, "aaaa", days=8)
    result = call("gc", "--dry-run")
    assert "would remove demo-aaaa (complete, 8 days ago, 3.0 MB)\nWould free 3.0 MB in 1 run.\n" in result.output
    assert (old.path / "dataset" / "part").exists()


def test_what_has_another_name_elsewhere_is_not_counted_as_freed(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "aaaa")
    os.link(directory.path / "dataset" / "part", tmp_path / "copy")
    assert "3.0 MB" not in call("rm", "demo").output
    assert (tmp_path / "copy").exists()
