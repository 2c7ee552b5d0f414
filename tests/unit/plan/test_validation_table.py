"""Every check that distilabel makes of a pipeline, in its order: what is said here, with file and line.

Each message names the step, the column where there is one, and what to do. Where nothing needs to be refused, the
pipeline runs and gives the right rows. Checks of load groups, runtime parameters and requirements, and of `>>`, have
tests of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

from common.errors import SpecError
from coordinator.plan.load import Prepared, prepare
from tests.support.fold.fold_executor import FoldExecutor
from tests.support.fold.sequential_interpreter import Program, Row

SAMPLES = "tests.support.steps.sample_steps"
LOAD = f'load: {{type: "{SAMPLES}:Load"}}'
UP = f'up: {{type: "{SAMPLES}:Upper", after: load}}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder; what is added to `sys.path` for it is removed again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def prepared(folder: Path, *steps: str, more: str = "") -> Prepared:
    """A pipeline of steps whose types are names of the sample steps, if they have no module; the first on line 3."""
    path = folder / "spec.yaml"
    path.write_text(f"name: demo\nsteps:\n{indent(chr(10).join(steps), '  ')}\n{dedent(more)}")
    return prepare(path, allow=["tests"])


def said(folder: Path, *steps: str, more: str = "") -> str:
    """The error, starting with the line."""
    with pytest.raises(SpecError) as caught:
        prepared(folder, *steps, more=more)
    return str(caught.value).removeprefix(f"{folder}/spec.yaml:")


def sample(name: str, type_name: str, after: str = "", **options: object) -> str:
    parts = [f'type: "{SAMPLES}:{type_name}"', *([f"after: {after}"] if after else [])]
    return f"{name}: {{{', '.join([*parts, *(f'{option}: {value}' for option, value in options.items())])}}}"


# steps and edges


def test_a_name_that_two_steps_have(folder: Path) -> None:
    assert said(folder, LOAD, UP, sample("up", "Ask", "load")) == "5: the key 'up' is given twice, first on line 4"


@pytest.mark.parametrize("name", ["a.b", '"a b"', '""', "ä"])
def test_a_name_that_is_no_name(folder: Path, name: str) -> None:
    message = said(folder, LOAD, sample(name, "Upper", "load"))
    assert message.startswith("4: the step name ")
    assert message.endswith("is invalid; use up to 64 letters, digits, '_' and '-'")


def test_a_parameter_that_the_class_does_not_have(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "Upper", "load", lowercas="true"))
    assert message == f"4: step 'up': {SAMPLES}:Upper has no parameter 'lowercas'; did you mean 'lowercase'?"


def test_a_step_that_is_not_known(folder: Path) -> None:
    prepared(folder, LOAD, UP)
    with pytest.raises(SpecError, match=r"--set pu\.lowercase: there is no step 'pu'; the steps are load, up"):
        prepare(folder / "spec.yaml", ["pu.lowercase=true"], allow=["tests"])


def test_an_edge_from_a_step_that_is_not_known(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "Upper", "lood"))
    assert message == "4: step 'up' comes after 'lood', which is not a step; did you mean 'load'?"


def test_an_edge_that_is_there_twice(folder: Path) -> None:
    message = said(folder, LOAD, sample("all", "Join", "[load, load]"))
    assert message == "4: step 'all' names 'load' twice in its 'after'; remove one of them"


def test_an_edge_that_closes_a_cycle(folder: Path) -> None:
    message = said(folder, LOAD, sample("a", "Join", "[load, b]"), sample("b", "Upper", "a"))
    assert message == "4: the steps form a cycle: a -> b -> a; remove one of them from the other's 'after'"


# what `process` takes


def test_a_process_without_an_input(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "NoInput", "load"))
    assert message == (
        "4: step 'up': NoInput.process has no parameter of type StepInput for the rows of 'load'; write "
        "process(self, inputs: StepInput)"
    )


def test_a_process_of_one_input_after_two_steps(folder: Path) -> None:
    message = said(folder, LOAD, sample("more", "Load"), sample("up", "Upper", "[load, more]"))
    assert message.startswith("5: step 'up' comes after 'load', 'more', but Upper.process takes the rows of one step")
    assert message.endswith("write process(self, *inputs: StepInput)")


def test_a_process_with_two_inputs(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "TwoInputs", "load"))
    assert message.startswith("4: step 'up': TwoInputs.process has several parameters of type StepInput")
    assert message.endswith("process(self, *inputs: StepInput)")


def test_a_step_without_predecessor_that_makes_no_rows(folder: Path) -> None:
    message = said(folder, sample("up", "Upper"))
    assert message == (
        "3: step 'up' has no predecessor, but Upper is not a generator step; name the step it comes after (up: "
        "{after: ...})"
    )


def test_a_generator_that_takes_rows(folder: Path) -> None:
    message = said(folder, sample("load", "GeneratorWithInput"))
    assert message.startswith("3: step 'load': GeneratorWithInput.process takes rows (inputs: StepInput)")
    assert message.endswith("make it a Step, or remove the parameter")


def test_a_generator_after_a_step(folder: Path) -> None:
    message = said(folder, LOAD, sample("more", "Load", "load"))
    assert message.startswith("4: step 'more' comes after 'load', but Load is a generator step")
    assert message.endswith("remove its 'after'")


def test_a_generator_without_an_offset(folder: Path) -> None:
    message = said(folder, sample("load", "NoOffset"))
    assert message.startswith("3: step 'load': NoOffset.process has no parameter 'offset'")
    assert message.endswith("process(self, offset: int = 0)")


# columns


def test_an_input_mapping_of_a_column_that_the_step_does_not_read(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "Upper", "load", input_mappings="{txt: text}"))
    assert message == "4: step 'up': Upper reads no column 'txt'; did you mean 'text'?"


def test_an_output_mapping_of_a_column_that_the_step_does_not_write(folder: Path) -> None:
    message = said(folder, LOAD, sample("up", "Upper", "load", output_mappings="{uper: loud}"))
    assert message == "4: step 'up': Upper writes no column 'uper'; did you mean 'upper'?"


def test_a_column_that_no_step_before_provides(folder: Path) -> None:
    message = said(folder, sample("load", "Load", columns="[title, body]"), UP)
    assert message == (
        "4: step 'up' needs column 'text', which no earlier step provides; there are body, title; map one of them "
        "with input_mappings: {text: ...}"
    )


def test_a_column_that_a_step_before_drops(folder: Path) -> None:
    """Distilabel asks whether any step before wrote it, and does not see that it is gone again."""
    keep = "keep: {type: KeepColumns, after: load, columns: [id]}"
    load = sample("load", "Load", columns="[id, text]")
    message = said(folder, load, keep, sample("ask", "Ask", "keep"), sample("up", "Upper", "ask"))
    assert message == "6: step 'up' needs column 'text', which step 'keep' drops; let 'keep' keep it"


# routing

BRANCHES = (LOAD, sample("a", "Upper", "load"), sample("b", "Upper", "load"))
ROUTING = 'routing:\n  load: {function: "tests.support.steps.sample_routing:in_turn"}\n'


def test_a_step_that_joins_a_branch_with_what_was_not_routed(folder: Path) -> None:
    other = sample("other", "Load")
    message = said(folder, *BRANCHES, other, sample("meet", "Join", "[a, other]"), more=ROUTING)
    assert message == (
        "7: step 'meet' joins 'a' with 'other', but 'a' has only the batches that 'load' routes to 'a', so the rows do "
        "not belong together; first join the branches of 'load' in a separate step, or put a global step in between"
    )


def test_a_step_that_gets_routed_batches_and_others(folder: Path) -> None:
    message = said(folder, *BRANCHES, sample("meet", "Join", "[a, load]"), more=ROUTING)
    assert message.startswith(
        "6: step 'meet' gets routed batches from 'load' and so cannot also come after 'a'; remove "
    )


def test_a_routing_of_a_step_that_nothing_comes_after(folder: Path) -> None:
    message = said(folder, *BRANCHES, more=ROUTING.replace("load:", "a:"))
    assert message == "7: routing: no step comes after 'a', so its batches cannot be routed"


def test_a_routing_of_a_step_that_is_not_known(folder: Path) -> None:
    message = said(folder, *BRANCHES, more=ROUTING.replace("load:", "lode:"))
    assert message == "7: routing: there is no step 'lode'; did you mean 'load'?"


def test_a_routing_function_that_has_fewer_steps_than_it_chooses(folder: Path) -> None:
    message = said(folder, *BRANCHES, more="routing: {load: {function: sample_n_steps, n: 3}}")
    assert message == (
        "6: routing of 'load': 'sample_n_steps' (n: 3, seed: 0) needs 3 steps to choose from; only 2 come after 'load'"
    )


def test_a_routing_function_of_a_module_that_is_not_allowed(folder: Path) -> None:
    message = said(folder, *BRANCHES, more='routing: {load: {function: "antigravity:fly"}}')
    assert message == (
        "6: routing of 'load': 'antigravity:fly' is not allowed here; to let this process import it: "
        "--allow antigravity"
    )
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("load", "a", "b", "meet"),
    [
        pytest.param(10, 10, 10, 50, id="a convergence step with a larger batch than the steps before it"),
        pytest.param(10, 50, 20, 5, id="routed steps with a larger batch than the step before them"),
        pytest.param(10, 3, 7, 4, id="routed steps whose batches do not divide the one before them"),
        pytest.param(7, 10, 3, 2, id="none fits into any other"),
    ],
)
def test_batch_sizes_below_a_routing_step_need_not_fit(folder: Path, load: int, a: int, b: int, meet: int) -> None:
    """Distilabel refuses these; here a routed batch is cut as the steps below it ask, and comes together again."""
    plan = prepared(
        folder,
        sample("load", "Load", batch_size=load),
        sample("a", "Upper", "load", input_batch_size=a),
        sample("b", "Upper", "load", input_batch_size=b),
        sample("meet", "Join", "[a, b]", input_batch_size=meet),
        more=ROUTING,
    ).plan
    yields = [list(range(start, min(start + load, 65))) for start in range(0, 65, load)]
    routes = (("a",), ("a", "b"), ("b",))

    def add(number: int) -> Program:
        return Program(process=lambda inputs: [row + number for row in inputs[0]])

    programs = {
        "load": Program(yields=yields, choose=lambda seq, rows, successors: routes[seq % 3]),
        "a": add(1_000),
        "b": add(2_000),
        "meet": Program(process=lambda inputs: [row for rows in inputs for row in rows]),
    }
    expected: list[Row] = []
    for seq, rows in enumerate(yields):
        for branch in routes[seq % 3]:
            expected += [row + {"a": 1_000, "b": 2_000}[branch] for row in rows]
    executor = FoldExecutor(plan, programs).run()
    assert executor.sink.leaves == {"meet": expected}
    assert all(len(given[0]) <= a for given in executor.workers.batches["a"].values())
    assert all(len(given[0]) <= b for given in executor.workers.batches["b"].values())
    assert len(executor.workers.batches["meet"]) == len(yields), "a convergence step takes routed batches as a whole"


# what only a dump of distilabel can ask for


def test_an_offline_batch_generation_that_nothing_here_carries_out(folder: Path) -> None:
    path = folder / "dump.yaml"
    path.write_text(
        dedent(
            """\
            distilabel: {version: 1.5.3}
            pipeline:
              name: demo
              steps:
              - name: load
                step:
                  name: load
                  data: [{instruction: a}]
                  type_info: {module: distilabel.steps.generators.data, name: LoadDataFromDicts}
              - name: gen
                step:
                  name: gen
                  llm:
                    model: m
                    use_offline_batch_generation: true
                    type_info: {module: distilabel.models.llms.openai, name: OpenAILLM}
                  type_info: {module: distilabel.steps.tasks.text_generation, name: TextGeneration}
              connections:
              - {from: load, to: [gen]}
            """
        )
    )
    with pytest.raises(SpecError, match=r"dump.yaml:\d+: step 'gen': .*'llm.use_offline_batch_generation'"):
        prepare(path)
