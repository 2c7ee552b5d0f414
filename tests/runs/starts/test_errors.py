"""Every mistake in a spec, through the real command: one message with file and line, exit 2, and nothing started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

GOOD = """name: wrong
steps:
  gen: {type: "mysteps:Count", rows: 100}
  dbl: {type: "mysteps:Double", after: gen}
  keep: {type: KeepColumns, after: dbl, columns: [n, double]}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def check(harness: Harness, spec: Path, *arguments: str) -> str:
    """Runs a spec that is wrong; returns the message."""
    code, text = harness.run(spec, *arguments)
    assert code == 2, text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text
    assert not (harness.folder / "cache").exists(), "something was started"
    assert harness.left_over() == []
    return text.strip()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("rows: 100", "row: 100", 3, ["has no parameter 'row'", "did you mean 'rows'?"]),
        ("name: wrong\n", "name: wrong\nstpes: {}\n", 2, ["unknown key 'stpes'", "did you mean 'steps'?"]),
        ("type: KeepColumns", "type: KeepColumn", 5, ["KeepColumn", "did you mean 'KeepColumns'?"]),
        ("mysteps:Double", "mysteps:Doubel", 4, ["no class 'Doubel'", "did you mean 'mysteps:Double'?"]),
        ("mysteps:Double", "mystep:Double", 4, ["'mystep:Double'", "did you mean 'mysteps:Double'?", "--allow mystep"]),
        ("mysteps:Double", "os:system", 4, ["os"]),
        ("after: dbl", "after: dlb", 5, ["dlb", "did you mean 'dbl'?"]),
        ("after: gen", "after: [gen, keep]", 4, ["cycle: dbl -> keep -> dbl"]),
        ("[n, double]", "[n, doubel]", 5, ["doubel"]),
        ("rows: 100", "rows: many", 3, ["'rows'", "'many'"]),
        ("rows: 100", "rows: 100, batch_size: 0", 3, ["'batch_size'", "greater than or equal to 1"]),
        ("rows: 100", "rows: 100, on_error: ignore", 3, ["'on_error'", "'skip', 'nulls' or 'fail'"]),
        ("rows: 100", "rows: 100, rows: 200", 3, ["rows"]),
        ("  keep:", "  dbl:", 5, ["dbl"]),
        ("  keep: {", "  keep: {{", 6, ["not valid YAML", "begins on line 5"]),
        (
            ", after: gen}\n  keep: {type: KeepColumns, after: dbl",
            "}\n  keep: {type: KeepColumns, after: gen",
            4,
            ["dbl"],
        ),
        ("  dbl: {", "  more: {type: 'mysteps:Count', after: gen}\n  dbl: {", 4, ["Count is a generator step"]),
        ("name: wrong\n", "", None, ["name"]),
        ("name: wrong\n", "name: ../wrong\n", 1, ["../wrong"]),
        ("  keep:", "  kee p:", 5, ["kee p"]),
    ],
    ids=lambda value: value.strip()[:24] if isinstance(value, str) else "",
)
def test_a_mistake_is_one_message_with_file_and_line_and_nothing_is_started(
    harness: Harness, old: str, new: str, line: int | None, words: list[str]
) -> None:
    assert GOOD.count(old) >= 1
    spec = harness.write_spec(GOOD.replace(old, new, 1))
    message = check(harness, spec)
    place = f"{spec}:{line}: " if line else f"{spec}"
    assert message.startswith(f"pipeline-coordinator: {place}"), message
    for word in words:
        assert word in message


def test_a_file_that_is_not_there_is_said(harness: Harness) -> None:
    assert "No such file or directory" in check(harness, harness.folder / "nowhere.yaml")


def test_a_folder_in_place_of_a_spec_is_said(harness: Harness) -> None:
    assert "cannot read the spec" in check(harness, harness.folder)


@pytest.mark.parametrize(
    "content", [b"", b"- a\n- list\n", b"\xff\xfe\x00", b"steps: {a: &x {type: b}}\n", b"name: [\n"]
)
def test_a_file_that_is_no_spec_is_said(harness: Harness, content: bytes) -> None:
    spec = harness.folder / "spec.yaml"
    spec.write_bytes(content)
    assert check(harness, spec).startswith(f"pipeline-coordinator: {spec}")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("gen.row=5", ["--set gen.row", "did you mean 'rows'?"]),
        ("gne.rows=5", ["gne", "did you mean 'gen'?"]),
        ("gen.rows=many", ["--set gen.rows", "'many'"]),
        ("gen", ["gen"]),
    ],
)
def test_a_wrong_override_names_the_option_in_place_of_a_line(
    harness: Harness, override: str, words: list[str]
) -> None:
    message = check(harness, harness.write_spec(GOOD), "--set", override)
    for word in words:
        assert word in message


def test_a_step_whose_module_raises_is_said_with_the_reason(harness: Harness) -> None:
    spec = harness.write_spec(GOOD)
    (harness.folder / "mysteps.py").write_text("import no_such_package\n")
    message = check(harness, spec)
    assert message.startswith(f"pipeline-coordinator: {spec}:3: ")
    assert "no_such_package" in message


def test_a_step_class_with_a_syntax_error_is_said_with_its_place(harness: Harness) -> None:
    spec = harness.write_spec(GOOD)
    (harness.folder / "mysteps.py").write_text("x = 1\ndef broken(:\n")
    message = check(harness, spec)
    assert "mysteps.py" in message
    assert "line 2" in message or "mysteps.py:2" in message


@pytest.mark.parametrize("name", ["common", "worker", "coordinator", "penstock"])
@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_module_of_the_users_own_with_the_name_of_ours_is_said(harness: Harness, name: str, form: str) -> None:
    spec = harness.write_spec(GOOD)
    if form == "folder":
        (harness.folder / name).mkdir()
        (harness.folder / name / "__init__.py").touch()
    else:
        (harness.folder / f"{name}.py").touch()
    message = check(harness, spec)
    assert name in message
    assert "rename" in message


def test_a_secret_in_a_spec_is_refused_and_not_repeated(harness: Harness) -> None:
    llm = 'llm: {type: OpenAILLM, model: m, api_key: "sk-very-secret"}'
    spec = harness.write_spec(
        f"name: wrong\nsteps:\n  gen: {{type: 'mysteps:Count'}}\n"
        f"  ask: {{type: TextGeneration, after: gen, input_mappings: {{instruction: text}}, {llm}}}\n"
    )
    message = check(harness, spec)
    assert message.startswith(f"pipeline-coordinator: {spec}:4: ")
    assert "sk-very-secret" not in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "external"), "external workers need a broker"),
        (("--broker", "http://127.0.0.1:1"), "http"),
        (("--workers", "remote"), "remote"),
        (("--limitt", "5"), "--limit"),
    ],
)
def test_wrong_options_are_usage_errors(harness: Harness, arguments: tuple[str, ...], words: str) -> None:
    code, text = harness.run(harness.write_spec(GOOD), *arguments)
    assert code == 2, text
    assert words in text
    assert "Traceback" not in text
    assert not (harness.folder / "cache").exists()


def test_a_wrong_setting_of_the_environment_is_a_usage_error(harness: Harness) -> None:
    code, text = harness.run(harness.write_spec(GOOD), GRACE="soon")
    assert code == 2, text
    assert "PENSTOCK_GRACE=soon" in text


def test_an_output_that_is_not_ours_is_refused_before_anything_is_started(harness: Harness) -> None:
    output = harness.folder / "precious"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    message = check(harness, harness.write_spec(GOOD), "--output", str(output))
    assert str(output) in message
    assert (output / "thesis.txt").read_text() == "years of work"


def test_a_broker_that_is_not_there_is_said_in_words(harness: Harness) -> None:
    code, text = harness.run(harness.write_spec(GOOD), "--broker", "redis://127.0.0.1:1/0", PATIENCE="1")
    assert code == 1, text
    assert "the broker at redis://127.0.0.1:1/0 cannot be reached" in text
    assert "Traceback" not in text
    assert harness.left_over() == []


def test_validate_says_the_same_as_run(harness: Harness) -> None:
    spec = harness.write_spec(GOOD.replace("rows: 100", "row: 100"))
    wrong = harness.start("pipeline-coordinator", "validate", spec)
    assert wrong.wait() == 2
    assert wrong.text.strip() == check(harness, spec)
    right = harness.start("pipeline-coordinator", "validate", harness.write_spec(GOOD))
    assert right.wait() == 0, right.text
