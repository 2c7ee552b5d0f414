"""Reading a spec: what a good one becomes, and the one message that each kind of bad one gets."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import SpecError, UsageError
from common.spec.spec import PipelineSpec, StepSpec, load_spec
from common.spec.yaml_source import YamlSource
from coordinator.plan.load import Prepared, prepare

GOOD = """\
    name: demo
    description: what it is for
    steps:
      load: {type: "tests.support.steps.sample_steps:Load", batch_size: 10}
      up:
        type: tests.support.steps.sample_steps:Upper
        after: load
        words: {a: 1}
        resources: {replicas: 2}
    """


@pytest.fixture(autouse=True)
def _own_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prepare` puts folders of tests on `sys.path`."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def load(folder: Path, text: str, overrides: Sequence[str] = ()) -> Prepared:
    return prepare(write(folder, text), overrides, allow=["tests"])


def message(folder: Path, text: str, overrides: Sequence[str] = ()) -> str:
    """What the user reads about a spec, with the folder taken out."""
    with pytest.raises(SpecError) as caught:
        load(folder, text, overrides)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_spec_keeps_its_order_and_everything_beside_type_and_after_is_a_parameter(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD)).spec
    assert list(spec.steps) == ["load", "up"]
    assert spec.steps["up"].type == "tests.support.steps.sample_steps:Upper"
    assert spec.steps["up"].after == ["load"]
    assert spec.steps["up"].params == {"words": {"a": 1}, "resources": {"replicas": 2}}
    assert spec.description == "what it is for"


def test_a_dump_is_the_format_of_the_file_and_comes_back_equal(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, GOOD + "routing: {load: {function: sample_n_steps, n: 1}}\n")).spec
    dumped = json.loads(json.dumps(spec.dump()))
    assert dumped["steps"]["load"] == {"type": "tests.support.steps.sample_steps:Load", "batch_size": 10}
    assert dumped["routing"] == {"load": {"function": "sample_n_steps", "n": 1}}
    assert PipelineSpec.from_dict(dumped) == spec
    assert load_spec(write(tmp_path, json.dumps(dumped, indent="\t"), "spec.json")).spec == spec


def test_the_json_schema_takes_one_name_or_a_list_in_after_and_further_keys_in_a_step() -> None:
    schema = PipelineSpec.model_json_schema()
    step = schema["$defs"]["StepSpec"]
    assert schema["additionalProperties"] is False
    assert step["additionalProperties"] is True
    assert set(step["properties"]) == {"type", "after"}
    assert {"type": "string"} in step["properties"]["after"]["anyOf"]
    assert {"type": "array", "items": {"type": "string"}} in step["properties"]["after"]["anyOf"]
    assert all("description" in field for field in (schema["properties"] | step["properties"]).values())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=50), inner),
        max_leaves=10,
    )
)
def test_json_text_is_read_as_json(value: object) -> None:
    try:
        text = json.dumps(value)
        text.encode()
        expected = json.loads(text)
    except UnicodeEncodeError:
        return
    assert YamlSource.parse(json.dumps(value, ensure_ascii=True)).data == expected


def test_a_character_beyond_16_bits_may_be_escaped_as_json_does_it() -> None:
    assert YamlSource.parse(json.dumps({"a": "\N{GRINNING FACE}"})).data == {"a": "\N{GRINNING FACE}"}


def test_a_line_is_that_of_the_key_the_list_item_or_what_is_around_them() -> None:
    source = YamlSource.parse("a:\n  b:\n    - x\n    - y: 1\n      z: 2\nc: {d: 1,\n  e: 2}\n")
    assert source.line(("a", "b", 1, "z")) == 5
    assert source.line(("a", "b", 1, "unknown")) == 4
    assert source.line(("c", "e")) == 7
    assert source.line(("nothing",)) == 1


def test_a_merged_mapping_gives_its_own_key_before_that_of_the_anchor() -> None:
    source = YamlSource.parse("a: &x\n  k: 1\n  m: 1\nb:\n  <<: *x\n  k: 2\n")
    assert source.data["b"] == {"k": 2, "m": 1}
    assert (source.line(("b", "k")), source.line(("b", "m"))) == (6, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: demo\nsteps: {}\nstep: {}\n", "spec.yaml:3: unknown key 'step'; did you mean 'steps'?"),
        ("steps: {}\n", "spec.yaml:1: the pipeline has no 'name'"),
        ("name: demo\n", "spec.yaml:1: the pipeline has no 'steps'"),
        ("", "spec.yaml: a pipeline is a mapping with 'name' and 'steps', not None"),
        ("- a\n", "spec.yaml:1: a pipeline is a mapping with 'name' and 'steps', not ['a']"),
        ("name: demo\nsteps:\n", "spec.yaml:2: 'steps' is None; it must map step names to steps"),
        ("name: demo\nsteps:\n  load:\n", "spec.yaml:3: step 'load' is None; it must be a mapping with a 'type'"),
        ("name: demo\nsteps:\n  load: {after: x}\n", "spec.yaml:3: step 'load' has no 'type'"),
        (
            "name: demo\nsteps:\n  load:\n    type: 3\n",
            "spec.yaml:4: the pipeline has an invalid value for 'steps.load.type', 3: it should be a valid string",
        ),
        (
            "name: demo\nsteps:\n  my step: {type: A}\n",
            "spec.yaml:3: the step name 'my step' is invalid; use up to 64 letters, digits, '_' and '-'",
        ),
        (
            "name: ../demo\nsteps: {}\n",
            "spec.yaml:1: the pipeline's name '../demo' is invalid; use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit",
        ),
        ("name: demo\nsteps: {}\nname: x\n", "spec.yaml:3: the key 'name' is given twice, first on line 1"),
        ("name: demo\nsteps:\n  1: {type: A}\n", "spec.yaml:3: the key 1 is not text; put it in quotes: '1'"),
        (
            "name: demo\nsteps:\n\tload: {}\n",
            "spec.yaml:3: not valid YAML: YAML needs spaces here, not a tab; replace it",
        ),
        (
            "name: demo\nsteps:\n  load: {type: A\n  up: {}\n",
            "spec.yaml:4: not valid YAML: expected ',' or '}', but got ':' "
            "(while parsing a flow mapping that begins on line 3)",
        ),
        ("name: a: b\n", "spec.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("name: !secret x\n", "spec.yaml:1: the tag !secret is not supported; write plain values"),
        ("name: demo\nsteps: &x {a: *x}\n", "spec.yaml:2: an alias (*) is inside the value that it refers to"),
        ("name: !!int ten\n", "spec.yaml:1: not valid YAML: 'ten' cannot be read as int"),
        ("name: demo\nrouting: {a: {n: 1}}\nsteps: {}\n", "spec.yaml:2: routing of 'a' has no 'function'"),
    ],
)
def test_a_wrong_file_is_one_message_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


def bomb(item: str) -> str:
    """Nine lines in which each stands for ten of the one before; `item` has a place for their aliases."""
    lines = ["x:", "  - &a {k: 1, l: 2}"]
    for before, name in pairwise("abcdefghi"):
        lines.append(f"  - &{name} {item.format(name=name, aliases=', '.join([f'*{before}'] * 10))}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("item", ["[{aliases}]", "{{<<: [{aliases}], k{name}: 1}}", "{{k{name}: [{aliases}]}}"])
def test_aliases_that_stand_for_too_much_are_refused_at_once(item: str) -> None:
    with pytest.raises(SpecError, match=r"^s\.yaml:\d: aliases \(\*\) of this node expand to more than 100,000"):
        YamlSource.parse(bomb(item), "s.yaml")


def test_aliases_that_stand_for_little_are_read() -> None:
    text = "llm: &llm {type: EchoLLM}\nsteps:\n" + "".join(f"  s{n}: {{llm: *llm}}\n" for n in range(500))
    assert YamlSource.parse(text).data["steps"]["s499"] == {"llm": {"type": "EchoLLM"}}


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 20_000, "0o" + "7" * 20_000, "1." + "5" * 5_000])
def test_a_number_that_is_too_long_is_refused_with_its_line(tmp_path: Path, number: str) -> None:
    expected = f"a number of {len(number):,} characters; at most 400 are read: put it in quotes"
    assert message(tmp_path, f"name: demo\nsteps:\n  load: {{data: [{{x: {number}}}]}}\n") == f"spec.yaml:3: {expected}"
    with pytest.raises(SpecError, match=f"^--set load.words: {expected}"):
        load_spec(write(tmp_path, GOOD), [f"load.words={number}"])


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: cannot read the spec: No such file or directory$"):
        load_spec(tmp_path / "none.yaml")
    (tmp_path / "spec.yaml").write_bytes(b"name: \xff")
    with pytest.raises(SpecError, match=r"spec\.yaml: byte 6 is not UTF-8; save the file as UTF-8$"):
        load_spec(tmp_path / "spec.yaml")


def step(line: str) -> str:
    return f"name: demo\nsteps:\n  load: {{type: 'tests.support.steps.sample_steps:Load'}}\n  up:\n    {line}\n"


SAMPLE = "type: SampleColumns\n    after: load\n    columns:\n      "
UPPER = "type: tests.support.steps.sample_steps:Upper\n    after: load\n    "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            step(UPPER + "lowercas: true"),
            "spec.yaml:7: step 'up': tests.support.steps.sample_steps:Upper has no parameter 'lowercas'; "
            "did you mean 'lowercase'?",
        ),
        (
            step("type: tests.support.steps.sample_steps:Upper\n    affter: load"),
            "spec.yaml:6: step 'up': tests.support.steps.sample_steps:Upper has no parameter 'affter'; "
            "did you mean 'after'?",
        ),
        (
            step(UPPER + "lowercase: maybe"),
            "spec.yaml:7: step 'up': tests.support.steps.sample_steps:Upper has an invalid value for 'lowercase', "
            "'maybe': it should be a valid boolean, unable to interpret input",
        ),
        (
            step(UPPER + "words:\n      a: 1\n      b: x"),
            "spec.yaml:9: step 'up': tests.support.steps.sample_steps:Upper has an invalid value for 'words.b', 'x': "
            "it should be a valid integer, unable to parse string as an integer",
        ),
        (
            step(UPPER + "resources:\n      replica: 2"),
            "spec.yaml:8: step 'up': tests.support.steps.sample_steps:Upper has no parameter 'resources.replica'; "
            "did you mean 'replicas'?",
        ),
        (
            step(UPPER + "name: other"),
            "spec.yaml:7: step 'up' has its own 'name'; the key above it is its name",
        ),
        (
            step("type: KeepColumns\n    after: load\n    colums: [text]"),
            "spec.yaml:7: step 'up': KeepColumns has no parameter 'colums'; did you mean 'columns'?",
        ),
        (
            step("type: KeepColumns\n    after: load"),
            "spec.yaml:4: step 'up': KeepColumns needs the parameter 'columns'",
        ),
        (
            step("type: KeepColums"),
            "spec.yaml:5: step 'up': no step has the type 'KeepColums'; did you mean 'KeepColumns'?",
        ),
        (
            step("type: other.module:Step"),
            "spec.yaml:5: step 'up': 'other.module:Step' is not allowed here; to let this process import it: "
            "--allow other.module (but there is no such module on this host)",
        ),
        (
            step("type: TextGeneration\n    after: load\n    llm:\n      model: m\n      type: OpenAILM"),
            "spec.yaml:9: step 'up': TextGeneration has an invalid value for 'llm': no LLM has the type 'OpenAILM'; "
            "did you mean 'OpenAILLM'?",
        ),
        (
            step("type: TextGeneration\n    after: load\n    llm:\n      type: OpenAILLM\n      modle: m"),
            "spec.yaml:9: step 'up': TextGeneration has no parameter 'llm.modle'; did you mean 'model'?",
        ),
        (
            step("type: FilterRows\n    after: load\n    keep: x > 1"),
            "spec.yaml:7: step 'up': FilterRows has no parameter 'keep'; it has condition, function, "
            "on_missing, input_batch_size, input_mappings, output_mappings, skip_when, resources, on_error, retries, "
            "backoff, max_deliveries, ...",
        ),
        (
            step(SAMPLE + "a: {draw: uniform, low: 1, hihg: 2}"),
            "spec.yaml:8: step 'up': SampleColumns has no parameter 'columns.a.hihg'; did you mean 'high'?",
        ),
        (
            step(SAMPLE + "a: {draw: unifrom, low: 1, high: 2}"),
            "spec.yaml:8: step 'up': SampleColumns has an invalid value for 'columns.a.draw', 'unifrom'; did you mean "
            "'uniform'?",
        ),
        (
            step(SAMPLE + "a: {low: 1, high: 2}"),
            "spec.yaml:8: step 'up': SampleColumns needs the parameter 'columns.a.draw', which says what it is",
        ),
    ],
)
def test_a_wrong_step_is_one_message_with_line_and_nearest_name(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


@pytest.mark.parametrize("key", ["api_key", "OPENAI_API_KEY", "hub_token", "db-password", "client_secret"])
def test_a_secret_in_plain_text_is_refused_without_being_repeated(tmp_path: Path, key: str) -> None:
    found = message(tmp_path, step(UPPER + f"llm:\n      options: {{{key}: sk-123}}"))
    assert found == (
        f"spec.yaml:8: 'steps.up.llm.options.{key}' holds a secret in plain text; secrets come from the worker's "
        "environment: remove it here and export it there (api_key_env: NAME names the variable)"
    )
    found = message(tmp_path, GOOD, [f"up.llm.{key}=sk-123"])
    assert found.startswith(f"--set up.llm.{key}: 'steps.up.llm.{key}' holds a secret")
    assert "sk-123" not in found


def test_columns_tokens_of_models_and_names_of_variables_are_no_secrets() -> None:
    params = {
        "input_mappings": {"token": "word"},
        "data": [{"password": "a column of the data"}],
        "llm": {"api_key_env": "MY_KEY", "api_key": None, "eos_token": "</s>", "max_token": 3},
    }
    PipelineSpec.from_dict({"name": "demo", "steps": {"a": {"type": "A", **params}}})


def test_set_changes_parameters_also_inside_of_mappings_that_are_not_there_yet(tmp_path: Path) -> None:
    overrides = ["up.words.b=2", "load.batch_size=7", "up.llm.generation_kwargs.stop=[a, 'b=c']", "up.note=1.5"]
    spec = load_spec(write(tmp_path, GOOD), overrides).spec
    assert spec.steps["load"].params == {"batch_size": 7}
    assert spec.steps["up"].params["words"] == {"a": 1, "b": 2}
    assert spec.steps["up"].params["llm"] == {"generation_kwargs": {"stop": ["a", "b=c"]}}
    assert spec.steps["up"].params["note"] == 1.5


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("upp.lowercase=1", "--set upp.lowercase: there is no step 'upp'; did you mean 'up'?"),
        (
            "up.lowercas=true",
            "--set up.lowercas: step 'up': tests.support.steps.sample_steps:Upper has no parameter 'lowercas'; "
            "did you mean 'lowercase'?",
        ),
        (
            "load.batch_size=many",
            "--set load.batch_size: step 'load': tests.support.steps.sample_steps:Load has an invalid value for "
            "'batch_size', 'many': it should be a valid integer, unable to parse string as an integer",
        ),
        ("up=1", "--set up: write it as step.param=value, for example generate.llm.model=my-model"),
        ("up.lowercase", "--set up.lowercase: write it as step.param=value, for example generate.llm.model=my-model"),
        ("up.words.a.b=1", "--set up.words.a.b: 'up.words.a' is not a mapping"),
        (
            "up.lowercase=[1",
            "--set up.lowercase: not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence that begins on line 1); put the value in quotes",
        ),
        ("up.after=lod", "--set up.after: step 'up' comes after 'lod', which is not a step; did you mean 'load'?"),
    ],
)
def test_a_wrong_set_is_named_as_it_was_given(tmp_path: Path, override: str, expected: str) -> None:
    assert message(tmp_path, GOOD, [override]) == expected


def test_relative_paths_start_at_the_spec_and_urls_are_left_alone(tmp_path: Path) -> None:
    text = """\
        name: demo
        steps:
          load:
            type: tests.support.steps.sample_steps:Load
            path: data/a.txt
            others: [b.txt, /c.txt, "s3://bucket/d.txt"]
        """
    step = load(tmp_path, text).steps["load"].model_dump()
    assert step["path"] == str(tmp_path / "data/a.txt")
    assert step["others"] == [str(tmp_path / "b.txt"), "/c.txt", "s3://bucket/d.txt"]


def test_the_modules_beside_a_spec_are_allowed_and_importable(tmp_path: Path) -> None:
    write(
        tmp_path,
        """\
        from common.steps.base import Step
        class Shout(Step):
            def process(self, inputs):
                yield inputs
        """,
        "steps_beside_the_spec.py",
    )
    shout = step("type: steps_beside_the_spec:Shout\n    after: load")
    # The class has no annotations, so it is found and only then refused.
    assert "Shout.process has no parameter of type StepInput" in message(tmp_path, shout)
    text = step("type: steps_beside_the_spec:Shouts")
    assert message(tmp_path, text) == (
        "spec.yaml:5: step 'up': the module 'steps_beside_the_spec' (steps_beside_the_spec.py) has no class 'Shouts'; "
        "did you mean 'steps_beside_the_spec:Shout'?"
    )


def test_a_users_module_with_one_of_our_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    load(tmp_path, GOOD)
    (tmp_path / "common" / "steps.py").touch()
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD)
    assert str(caught.value) == (
        f"{tmp_path}/common has the name of one of Penstock's packages, so one of the two would be imported instead "
        "of the other: rename it, for example to mycommon"
    )


def test_a_step_spec_needs_a_type() -> None:
    with pytest.raises(ValidationError):
        StepSpec.model_validate({"after": "load"})
