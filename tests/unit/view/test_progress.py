"""What a person sees of a run: the table on a terminal, the lines elsewhere, the last words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from coordinator.view.pace import Pace
from coordinator.view.progress import LiveReporter, PlainReporter, make_reporter
from coordinator.view.progress_table import progress_table
from coordinator.view.view import Outcome, RunView, StepView

RUN = "quickstart-3f2a81bc90de"
COMMAND = "pipeline-coordinator run examples/quickstart.yaml"
IDLE = StepView("idle", "step", 0, 0, None, 0, 0, 0, 0, 0, 0, 1, 0, 0.0)


def step(name: str, done: int = 0, total: int | None = None, **fields: int | str) -> StepView:
    given = {"batches": total if total is not None else done, "rows_out": done * 50, **fields}
    return replace(IDLE, name=name, batches_done=done, batches_total=total, **given)  # type: ignore[arg-type]


def view(elapsed: float, done: int = 31, *, state: str = "running", steps: Sequence[StepView] = ()) -> RunView:
    usual = [
        step("load", 40, 40, kind="generator", workers=0),
        step("generate", done, 40, rows_failed=12, in_flight=4, waiting=5, workers=2, loading=1),
        step("keep", done - 1, batches=done, in_flight=1),
    ]
    return RunView(RUN, state, elapsed, 12_300_000, {"keep": 1500}, tuple(steps or usual))


def outcome(**fields: object) -> Outcome:
    given = {"run_id": RUN, "status": "complete", "exit_code": 0, "elapsed": 12.34, **fields}
    return Outcome(**given)  # type: ignore[arg-type]


def drawn(renderable: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


def plain() -> tuple[PlainReporter, io.StringIO]:
    file = io.StringIO()
    return PlainReporter(Console(file=file, width=80), COMMAND), file


# the table


def test_the_table_shows_a_step_in_each_line() -> None:
    rates = {"load": 500.0, "generate": 48.6}
    shown = view(12.34)
    steps = tuple(replace(each, rows_per_second=rates.get(each.name)) for each in shown.steps)
    assert drawn(progress_table(replace(shown, steps=steps, seconds_left=90.0), 100, 24), 100) == [
        "quickstart-3f2a81bc90de   running   12.3 s   about 2 min left",
        "",
        "step      kind       batches  rows out  rows/s  failed  in flight  waiting  workers",
        "load      generator    40/40     2,000       -       -          -        -        0",
        "generate  step         31/40     1,550      49      12          4        5      2+1",
        "keep      step        30/31+     1,500       -       -          1        -        1",
        "1,500 rows of the dataset on disk, 12.3 MB of payloads in the broker",
    ]


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_the_table_fits_the_width_and_keeps_what_matters_most(width: int) -> None:
    steps = [step(f"step_with_a_rather_long_name_{number}", 1_000, 2_000, rows_failed=7) for number in range(3)]
    lines = drawn(progress_table(replace(view(12.0, steps=steps), seconds_left=3_600.0), width, 24), width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 7
    for title in ("batches", "rows out", "failed"):
        assert title in lines[2]
    assert all("1,000/2,000" in line for line in lines[3:6])


def test_at_80_columns_steps_with_usual_names_leave_out_the_kind_alone() -> None:
    lines = drawn(progress_table(view(12.0), 80, 24), 80)
    assert lines[2].split("  ")[0] == "step"
    assert "kind" not in lines[2]
    for title in ("rows/s", "in flight", "waiting", "workers"):
        assert title in lines[2]


def test_of_many_steps_those_at_work_are_shown_and_the_others_counted() -> None:
    steps = [step(f"done{number}", 3, 3) for number in range(30)]
    steps += [step("busy", 1, 3, in_flight=2), *(step(f"later{number}") for number in range(20))]
    lines = drawn(progress_table(view(12.0, steps=steps), 80, 14), 80)
    assert len(lines) <= 13
    assert lines[3].startswith("busy ")
    assert lines[-2] == "and 43 more steps: 13 not at work yet, 30 done"


def test_markup_in_a_name_is_text() -> None:
    lines = drawn(progress_table(view(1.0, state="waiting for [bold]"), 80, 24), 80)
    assert "waiting for [bold]" in lines[0]


# the pace


def seen(views: Sequence[RunView]) -> RunView:
    pace = Pace()
    return [pace.see(each) for each in views][-1]


def rate(shown: RunView, name: str = "generate") -> float | None:
    return next(each.rows_per_second for each in shown.steps if each.name == name)


def test_rows_per_second_are_those_of_the_last_ten_seconds() -> None:
    slow = [view(float(second), 0) for second in range(30)]
    fast = [view(30.0 + second, second) for second in range(11)]
    assert rate(seen([*slow, *fast])) == pytest.approx(50.0)


def test_what_a_resumed_run_had_done_before_is_no_speed() -> None:
    assert rate(seen([view(float(second), 31) for second in range(10)])) == 0.0


def test_no_speed_is_told_before_it_is_known() -> None:
    assert seen([view(0.0, 0), view(0.5, 30)]) == view(0.5, 30)


def test_the_time_left_is_that_of_the_slowest_step() -> None:
    def at(second: int) -> RunView:
        return view(float(second), steps=[step("a", second, 40), step("b", 2 * second, 40)])

    assert seen([at(second) for second in range(11)]).seconds_left == pytest.approx(30.0)


def test_the_time_left_is_unknown_while_a_step_may_get_more_batches() -> None:
    assert seen([view(float(second), second) for second in range(11)]).seconds_left is None


def test_the_time_left_is_unknown_while_a_step_stands_still() -> None:
    views = [view(float(second), steps=[step("a", second, 40), step("b", 0, 40)]) for second in range(11)]
    assert seen(views).seconds_left is None


# plain lines


def test_a_line_tells_how_far_each_step_is() -> None:
    reporter, file = plain()
    reporter.update(view(12.34))
    assert file.getvalue() == (
        "12.3s  load 40/40 batches, 2,000 rows | generate 31/40 batches, 1,550 rows, 12 rows failed"
        " | keep 30/31+ batches, 1,500 rows\n"
    )


def test_lines_come_every_five_seconds() -> None:
    reporter, file = plain()
    for tenth in range(160):
        reporter.update(view(tenth / 10, tenth // 4))
    assert [line.split()[0] for line in file.getvalue().splitlines()] == ["5.0s", "10.0s", "15.0s"]


def test_no_line_comes_while_nothing_changes() -> None:
    reporter, file = plain()
    for second in range(60):
        reporter.update(view(float(second), 31 if second < 30 else 32))
    assert [line.split()[0] for line in file.getvalue().splitlines()] == ["5.0s", "30.0s"]


def test_a_state_other_than_running_is_told() -> None:
    reporter, file = plain()
    reporter.update(view(6.0, state="waiting for the disk"))
    assert file.getvalue().startswith("6.0s  waiting for the disk | load ")


def test_with_many_steps_a_line_tells_those_at_work() -> None:
    reporter, file = plain()
    steps = [*(step(f"s{number}", 3, 3) for number in range(9)), step("busy", 1, 3, in_flight=1)]
    reporter.update(view(6.0, steps=steps))
    assert file.getvalue() == "6.0s  busy 1/3 batches, 50 rows | 9 of 10 steps done\n"


def test_what_is_said_comes_at_once_whole_and_without_escapes() -> None:
    reporter, file = plain()
    line = "no worker for step 'generate' yet; start one with: pipeline-worker --step generate --run " + "x" * 60
    reporter.say(line)
    reporter.say("[bold]\x1b[31mred\x1b[0m\x07[/bold]")
    assert file.getvalue() == f"{line}\n[bold]red\\x07[/bold]\n"


def test_plain_lines_have_no_escapes_even_where_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    reporter = PlainReporter(Console(file=file, width=80), COMMAND)
    reporter.update(view(6.0))
    reporter.say("said")
    reporter.finish(outcome(rows={"keep": 1}, failed={"generate": 2}))
    assert "\x1b" not in file.getvalue()


# the last words


def test_a_complete_run_says_where_its_dataset_is(tmp_path: Path) -> None:
    reporter, file = plain()
    reporter.finish(outcome(dataset=tmp_path, rows={"keep": 8421, "other": 1}))
    assert file.getvalue() == (
        f"\n{RUN} is complete: 8,422 rows in 12.3 s\n\n"
        f"  dataset     {tmp_path}\n"
        "  rows        keep: 8,421 rows\n"
        "              other: 1 row\n"
        f'  load it     datasets.load_dataset("{tmp_path}")\n'
    )


def test_rows_that_passed_steps_by_are_counted() -> None:
    reporter, file = plain()
    reporter.finish(outcome(rows={"keep": 8}, skipped={"generate": 1_200, "keep": 1}))
    assert "  skipped     generate: 1,200 rows\n              keep: 1 row\n" in file.getvalue()
    steps = (step("load", 40, 40), step("generate", 31, 40, rows_skipped=1_200))
    (titles, load, generate) = drawn(progress_table(view(12.0, steps=steps), 100, 24), 100)[2:5]
    column = titles.index("skipped")
    assert (load[column : column + 7], generate[column : column + 7]) == ("      -", "  1,200")
    assert "skipped" not in drawn(progress_table(view(12.0), 100, 24), 100)[2]
    reporter.update(view(6.0, steps=steps))
    assert "generate 31/40 batches, 1,550 rows, 1,200 skipped" in file.getvalue()


def test_failed_rows_come_with_the_command_that_shows_them(tmp_path: Path) -> None:
    reporter, file = plain()
    failed = {"generate": 12, "keep": 1}
    reporter.finish(outcome(exit_code=3, run_directory=tmp_path, rows={"keep": 8}, failed=failed))
    text = file.getvalue()
    assert f"{RUN} is complete: 8 rows in 12.3 s, without the 13 rows that failed\n" in text
    assert "  failed      generate: 12 rows\n              keep: 1 row\n" in text
    assert f"  see them    pipeline-coordinator failures {RUN}\n" in text


def test_of_a_run_that_keeps_nothing_no_place_is_named(tmp_path: Path) -> None:
    reporter, file = plain()
    gone = tmp_path / "gone"
    fields = {"status": "failed", "exit_code": 1, "reason": "why", "partial": gone / "partial", "run_directory": gone}
    reporter.finish(outcome(**fields, failed={"generate": 2}))
    assert "generate: 2 rows" in file.getvalue()
    assert str(gone) not in file.getvalue()
    assert "pipeline-coordinator failures" not in file.getvalue()


def test_a_run_that_was_complete_before_says_that_nothing_was_done(tmp_path: Path) -> None:
    reporter, file = plain()
    reporter.finish(outcome(dataset=tmp_path, rows={"keep": 8}, reused=True))
    assert f"{RUN} was already complete, nothing was done: 8 rows\n" in file.getvalue()
    assert "--fresh" in file.getvalue()


def test_an_incomplete_run_says_why_where_and_how_to_go_on(tmp_path: Path) -> None:
    reporter, file = plain()
    reporter.finish(
        outcome(
            status="stopped",
            exit_code=130,
            reason="it was asked to stop",
            partial=tmp_path / "partial",
            rows={"keep": 2000},
            elapsed=7_000.0,
            run_directory=tmp_path,
        )
    )
    assert file.getvalue() == (
        f"\n{RUN} was stopped after 1 h 56 min; it is not complete\n\n"
        "  why         it was asked to stop\n"
        f"  so far      {tmp_path}/partial\n"
        "              keep: 2,000 rows\n"
        f"  log         {tmp_path}/pipeline.log\n"
        f"  resume with {COMMAND}\n"
    )


@pytest.mark.parametrize("status", ["stopped", "halted", "failed"])
def test_an_incomplete_run_never_looks_complete(status: str) -> None:
    reporter, file = plain()
    reporter.finish(outcome(status=status, exit_code=1, reason="why", rows={"keep": 2000}))
    assert "it is not complete" in file.getvalue()
    assert "is complete" not in file.getvalue()
    assert "load_dataset" not in file.getvalue()


def test_the_lines_of_a_traceback_stay_lines() -> None:
    reporter, file = plain()
    reporter.finish(outcome(status="failed", exit_code=1, reason="step 'x' cannot be loaded:\n  File y\nKeyError"))
    assert (
        "  why         step 'x' cannot be loaded:\n                File y\n              KeyError\n" in file.getvalue()
    )


def test_a_command_that_the_reason_has_named_is_not_said_again() -> None:
    reporter, file = plain()
    reporter.finish(outcome(status="failed", exit_code=1, reason=f"the disk is full; resume with: {COMMAND}"))
    assert file.getvalue().count(COMMAND) == 1


# which one


def terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=100, height=30, force_terminal=True, color_system=None, _environ={}), file


def test_a_terminal_gets_the_table_and_everything_else_lines() -> None:
    assert isinstance(make_reporter(terminal()[0]), LiveReporter)
    assert isinstance(make_reporter(Console(file=io.StringIO())), PlainReporter)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(make_reporter(dumb), PlainReporter)


def test_on_a_terminal_lines_come_above_the_table_and_the_last_table_stays() -> None:
    console, file = terminal()
    with make_reporter(console, COMMAND) as reporter:
        reporter.update(view(1.0, 10))
        reporter.say("a word")
        reporter.update(view(2.0, 33))
        reporter.finish(outcome(rows={"keep": 8}))
    text = file.getvalue()
    assert text.index("a word") < text.rindex("33/40") < text.index(f"{RUN} is complete")


def test_the_cursor_is_never_left_hidden() -> None:
    console, file = terminal()
    with make_reporter(console) as reporter:
        reporter.update(view(1.0))
        shown, hidden = file.getvalue().rfind("\x1b[?25h"), file.getvalue().rfind("\x1b[?25l")
        assert shown > hidden


def test_an_error_leaves_the_terminal_whole() -> None:
    console, file = terminal()
    reporter = make_reporter(console)
    reporter.update(view(1.0))
    reporter.__exit__(RuntimeError, RuntimeError(), None)
    before = file.getvalue()
    console.print("the error")
    assert file.getvalue().removeprefix(before) == "the error\n"


def test_a_run_that_was_never_seen_at_work_shows_no_table(tmp_path: Path) -> None:
    console, file = terminal()
    with make_reporter(console) as reporter:
        reporter.finish(outcome(dataset=tmp_path, rows={"keep": 8}, reused=True))
    assert "batches" not in file.getvalue()
