"""Pipelines that Python programs run: real scripts, their own classes in real workers."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.pipelines import assert_nothing_runs

OWN = """
    import json, sys
    from common.llms import LLM, Generation
    from common.steps import GeneratorStep, Step, StepInput, TextGeneration, LoadDataFromDicts, KeepColumns
    from coordinator import Pipeline, RunFailed, RunStopped, routing_batch_function

    class Count(GeneratorStep):
        rows: int = 100

        @property
        def outputs(self):
            return ["n"]

        def process(self, offset=0):
            for start in range(offset, self.rows, self.batch_size):
                stop = min(start + self.batch_size, self.rows)
                yield [{"n": n} for n in range(start, stop)], stop == self.rows

    class Double(Step):
        factor: int = 2

        @property
        def inputs(self):
            return ["n"]

        @property
        def outputs(self):
            return ["double"]

        def process(self, inputs: StepInput):
            yield [{**row, "double": row["n"] * self.factor} for row in inputs]

    class Shout(LLM):
        loud: bool = True

        @property
        def model_name(self):
            return "shout"

        async def agenerate(self, messages, **kwargs):
            return Generation(text=messages[-1]["content"].upper())

    @routing_batch_function()
    def in_turn(steps, seq):
        return [steps[seq % len(steps)]]

    with Pipeline("own") as pipeline:
        count = Count(name="count", rows=100, batch_size=10)
        double = Double(name="double", input_batch_size=7)
        count >> double

    def show(distiset):
        print("ROWS", json.dumps(distiset["default"]["train"].to_list()))
"""
RUN = (
    OWN
    + """
    if __name__ == "__main__":
        show(pipeline.run(progress=False))
"""
)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def script(text: str) -> str:
    return textwrap.dedent(text)


def rows(output: str) -> list[dict[str, object]]:
    (line,) = [line for line in output.splitlines() if line.startswith("ROWS ")]
    found: list[dict[str, object]] = json.loads(line.removeprefix("ROWS "))
    return found


def test_classes_of_the_script_run_in_its_workers(harness: Harness) -> None:
    code, output = harness.run_script(script(RUN))
    assert code == 0, output
    assert rows(output) == [{"n": n, "double": 2 * n} for n in range(100)]
    assert_nothing_runs(harness)


def test_a_second_call_returns_the_dataset_at_once_and_use_cache_false_starts_over(harness: Harness) -> None:
    twice = (
        OWN
        + """
    if __name__ == "__main__":
        first = pipeline.run(progress=False)
        import glob, os
        log = glob.glob(os.environ["PENSTOCK_CACHE_DIR"] + "/own/*/pipeline.log")[0]
        before = open(log).read().count("coordinates")
        show(pipeline.run(progress=False))
        again = open(log).read().count("coordinates")
        pipeline.run(use_cache=False, progress=False)
        print("COUNTS", before, again, open(log).read().count("coordinates"))
    """
    )
    code, output = harness.run_script(script(twice))
    assert code == 0, output
    assert len(rows(output)) == 100
    assert "COUNTS 1 1 1" in output  # the third run has emptied the log before it began


def test_an_unguarded_script_is_told_to_guard_its_run_and_starts_nothing_twice(harness: Harness) -> None:
    code, output = harness.run_script(script(OWN) + "show(pipeline.run(progress=False))\n")
    assert code == 1
    assert "put the call under if __name__ == '__main__':" in output
    assert len(list((harness.folder / "cache").glob("own/*"))) == 1
    assert_nothing_runs(harness)


def test_a_script_of_built_in_classes_needs_no_guard(harness: Harness) -> None:
    text = """
    from penstock import Pipeline
    from penstock.steps import KeepColumns, LoadDataFromDicts

    with Pipeline("plain") as pipeline:
        LoadDataFromDicts(data=[{"n": 1}]) >> KeepColumns(columns=["n"])
    print(pipeline.run(progress=False)["default"]["train"].to_list())
    """
    code, output = harness.run_script(script(text))
    assert (code, output.splitlines()[-1]) == (0, "[{'n': 1}]"), output


def test_an_llm_and_a_routing_function_of_the_script_are_used(harness: Harness) -> None:
    text = (
        OWN
        + """
    with Pipeline("talk") as talk:
        load = LoadDataFromDicts(data=[{"instruction": f"row {n}"} for n in range(4)], batch_size=1)
        left = TextGeneration(name="left", llm=Shout())
        right = TextGeneration(name="right", llm=Shout(loud=False))
        load >> in_turn >> [left, right]

    if __name__ == "__main__":
        distiset = talk.run(progress=False)
        print({leaf: splits["train"]["generation"][:] for leaf, splits in distiset.items()})
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert "{'left': ['ROW 0', 'ROW 2'], 'right': ['ROW 1', 'ROW 3']}" in output


def test_parameters_are_set_for_one_run_and_a_wrong_name_is_refused(harness: Harness) -> None:
    text = (
        OWN
        + """
    if __name__ == "__main__":
        from common.errors import UsageError
        for wrong in ({"doubel": {"factor": 3}}, {"double": {"facter": 3}}):
            try:
                pipeline.run(parameters=wrong, progress=False)
            except UsageError as error:
                print("REFUSED", error)
        show(pipeline.run(parameters={"double": {"factor": 3}, "count": {"rows": 3}}, progress=False))
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert rows(output) == [{"n": n, "double": 3 * n} for n in range(3)]
    refused = [line for line in output.splitlines() if line.startswith("REFUSED")]
    assert "did you mean 'double'" in refused[0]
    assert "did you mean 'factor'" in refused[1]


def test_a_failed_run_raises_with_its_report_and_the_same_call_goes_on(harness: Harness) -> None:
    text = (
        OWN
        + """
    import os
    class Fragile(Double):
        def process(self, inputs: StepInput):
            if not os.path.exists("fixed") and any(row["n"] == 50 for row in inputs):
                raise ValueError("fifty is broken")
            yield from super().process(inputs)

    with Pipeline("fragile") as fragile:
        Count(name="count") >> Fragile(name="double", on_error="fail", retries=0)

    if __name__ == "__main__":
        try:
            fragile.run(progress=False)
        except RunFailed as error:
            print("FAILED", error.report.status, error.report.exit_code, error)
        open("fixed", "w").close()
        show(fragile.run(progress=False))
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert "FAILED halted 1 run 'fragile-" in output
    assert "fifty is broken" in output
    assert rows(output) == [{"n": n, "double": 2 * n} for n in range(100)]


def test_rows_that_fail_are_counted_and_the_rest_comes_back(harness: Harness) -> None:
    text = (
        OWN
        + """
    class Picky(Double):
        def process(self, inputs: StepInput):
            if any(row["n"] == 50 for row in inputs):
                raise ValueError("fifty is broken")
            yield from super().process(inputs)

    with Pipeline("picky") as picky:
        Count(name="count") >> Picky(name="double", retries=0)

    if __name__ == "__main__":
        distiset = picky.run(progress=False)
        print("FAILED", distiset.failed)
        show(distiset)
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert "FAILED {'double': 1}" in output
    assert [row["n"] for row in rows(output)] == [n for n in range(100) if n != 50]


STOPPED = (
    OWN
    + """
    import time, os, signal
    class Slow(Double):
        def process(self, inputs: StepInput):
            open(f"seen-{inputs[0]['n']}", "w").close()
            time.sleep(0.1)
            yield from super().process(inputs)

    with Pipeline("slow") as slow:
        Count(name="count", batch_size=5) >> Slow(name="double", input_batch_size=5)

    if __name__ == "__main__":
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        try:
            show(slow.run(progress=False))
        except RunStopped as error:
            print("STOPPED", error.exit_code, error.report.partial.is_dir())
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
"""
)


def test_ctrl_c_raises_and_the_same_call_goes_on_with_the_run(harness: Harness) -> None:
    command = harness.start_script(script(STOPPED))
    wait_for(lambda: list(harness.folder.glob("seen-2*")), what="work under way")
    command.kill(signal.SIGINT)
    assert command.wait() == 0, command.text
    assert "STOPPED 130 True" in command.text
    assert_nothing_runs(harness)
    code, output = harness.run_script(script(STOPPED))
    assert code == 0, output
    assert rows(output) == [{"n": n, "double": 2 * n} for n in range(100)]


@pytest.mark.parametrize(("caught", "exit_code"), [("RunFailed", 130), ("ZeroDivisionError", 1)])
def test_a_stopped_script_ends_with_130_if_it_passes_the_code_on_else_with_1(
    harness: Harness, caught: str, exit_code: int
) -> None:
    text = STOPPED.replace(
        "except RunStopped as error:", f"except {caught} as error:\n            sys.exit(error.exit_code)"
    )
    command = harness.start_script(script(text))
    wait_for(lambda: list(harness.folder.glob("seen-2*")), what="work under way")
    command.kill(signal.SIGINT)
    assert command.wait() == exit_code, command.text
    assert ("RunStopped: " in command.text) == (caught != "RunFailed")


def test_a_dry_run_returns_one_batch_and_keeps_nothing(harness: Harness) -> None:
    text = (
        OWN
        + """
    if __name__ == "__main__":
        show(pipeline.dry_run(batch_size=3, progress=False))
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert rows(output) == [{"n": n, "double": 2 * n} for n in range(3)]
    assert not list((harness.folder / "cache").glob("*"))


def test_a_dataset_given_to_run_feeds_the_steps_without_predecessor(harness: Harness) -> None:
    text = (
        OWN
        + """
    with Pipeline("fed") as fed:
        Double(name="double")

    if __name__ == "__main__":
        show(fed.run(dataset=[{"n": 1}, {"n": 2}], progress=False))
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert rows(output) == [{"n": 1, "double": 2}, {"n": 2, "double": 4}]


def test_a_key_given_in_python_reaches_the_workers_and_nothing_that_is_kept(harness: Harness) -> None:
    text = (
        OWN
        + """
    from pydantic import Field, SecretStr
    class Keyed(Shout):
        api_key: SecretStr | None = Field(default=None, exclude=True)

        async def agenerate(self, messages, **kwargs):
            assert self.api_key is not None
            return Generation(text=f"{len(self.api_key.get_secret_value())} characters")

    with Pipeline("keyed") as keyed:
        load = LoadDataFromDicts(data=[{"instruction": "hello"}])
        load >> TextGeneration(name="ask", llm=Keyed(api_key="sk-planted"))

    if __name__ == "__main__":
        show(keyed.run(progress=False))
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert rows(output)[0]["generation"] == "10 characters"
    kept = [path for path in (harness.folder / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"sk-planted" in path.read_bytes()]


def test_a_run_on_another_thread_needs_no_signals(harness: Harness) -> None:
    text = (
        OWN
        + """
    if __name__ == "__main__":
        import threading
        thread = threading.Thread(target=lambda: show(pipeline.run(progress=False)))
        thread.start(); thread.join()
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 0, output
    assert len(rows(output)) == 100


def test_a_class_typed_at_a_prompt_is_refused_with_a_remedy(harness: Harness) -> None:
    text = script(OWN).replace("class Count", "class Count") + "pipeline.run(progress=False)\n"
    (harness.folder / "prompt.txt").write_text(text)
    runner = "exec(compile(open('prompt.txt').read(), '<stdin>', 'exec'))"
    command = harness._start("prompt", ["-c", runner], {})
    assert command.wait() == 1
    assert (
        "is defined in a notebook or at a prompt, where no worker can import it: move it into a module" in command.text
    )


def test_external_workers_are_waited_for_and_classes_of_the_script_are_refused(
    harness: Harness, redis_url: str
) -> None:
    text = (
        OWN
        + f"""
    if __name__ == "__main__":
        pipeline.run(broker="{redis_url}", workers="external", progress=False)
    """
    )
    code, output = harness.run_script(script(text))
    assert code == 1
    assert "is defined in the script 'script.py', where external workers cannot import it" in output


def test_a_pipeline_of_modules_runs_with_workers_started_elsewhere(harness: Harness, redis_url: str) -> None:
    text = f"""
    import json
    from common.steps import KeepColumns
    from coordinator import Pipeline
    from mysteps import Count

    with Pipeline("outside") as pipeline:
        Count(name="count", rows=30, batch_size=10) >> KeepColumns(name="keep", columns=["n"])

    if __name__ == "__main__":
        distiset = pipeline.run(broker="{redis_url}", workers="external")
        print("ROWS", json.dumps(distiset["default"]["train"].to_list()))
    """
    command = harness.start_script(script(text))
    allow = ("--allow", "mysteps", "--base-dir", str(harness.folder))
    for step in ("count", "keep"):
        harness.start("pipeline-worker", "--step", step, "--broker", redis_url, *allow)
    assert command.wait() == 0, command.text
    assert [row["n"] for row in rows(command.text)] == list(range(30))


def test_what_a_test_process_runs_itself_needs_no_script(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.steps import KeepColumns, LoadDataFromDicts
    from coordinator import Pipeline
    from tests.support.steps.sample_steps import Upper

    with Pipeline("inside", cache_dir=harness.folder / "cache") as pipeline:
        (
            LoadDataFromDicts(name="load", data=[{"text": "a"}])
            >> Upper(name="up")
            >> KeepColumns(name="keep", columns=["text"])
        )
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(harness.folder / "cache"))  # by which the harness finds what runs
    distiset = pipeline.run(progress=False)
    assert distiset["default"]["train"].to_list() == [{"text": "a"}]
    assert os.getpid() not in {process.pid for process in harness.processes()}
    assert_nothing_runs(harness)
