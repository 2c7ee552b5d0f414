"""A spec that is written to take long, or memory, is refused at once with its line; and whatever is in it, in words."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SpecError
from common.spec.spec import MOST_BYTES, load_spec
from common.spec.yaml_source import YamlSource
from coordinator.cli import group

DEEP = "nested more than 100 levels deep"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: &a " + "x" * 1_000_000 + "\nb: [" + "*a," * 2_000 + "]\n", 1, "expand to more than 5,000,000 characters"),
        ("a:\n  " + "[" * 200_000, 2, DEEP),
        ("a: 1\nb: " + "{a: " * 50_000, 2, DEEP),
        ("a: 1\n" + "- " * 100_000, 2, "not valid YAML"),
        ("\n\n" + "- " * 100_000, 3, DEEP),
        ("? " * 100_000, 1, DEEP),
        ('{"a":\n' + '{"a":' * 50_000, 2, DEEP),
        ("a: 1\nb: 1e999999\n", 2, "the number 1e999999 is beyond the range of a float (1.8e308): put it in quotes"),
        ('{"a": 1,\n "b": -1e400}', 2, "the number -1e400 is beyond the range of a float"),
        ("a: 1\nb: " + "9" * 5_000, 2, "a number of 5,000 characters; at most 400 are read"),
        ('{"a":\n ' + "9" * 5_000 + "}", 2, "a number of 5,000 characters"),
        ("a: 1\n? " + "k" * 100_000 + "\n: 1\n", 2, "a key of 100,000 characters; at most 1,000 are read"),
        ("a: 1\nb: !" + "x" * 2_000_000 + " 1\n", 2, "not valid YAML: a tag of more than 200 characters"),
        ("%YAML " + "1" * 200_000 + ".2\n--- 1", None, "not valid YAML"),
        ("x" * 10_000_001, None, "more than 10,000,000 characters; rows belong in a file of their own"),
    ],
    ids=str.split("text seq map dashes dash question json exp json-exp int json-int key tag directive long"),
)
def test_what_would_take_long_is_refused_at_once_with_its_line(text: str, line: int | None, words: str) -> None:
    began = time.process_time()
    with pytest.raises(SpecError) as refused:
        YamlSource.parse(text, "s.yaml")
    assert time.process_time() - began < 5
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"s.yaml:{line}: " if line else "s.yaml: ")
    assert len(str(refused.value)) < 600


def test_what_is_long_and_deep_but_not_too_much_is_read() -> None:
    deep = "[" * 90 + "]" * 90
    text = "x" * 400_000
    data = YamlSource.parse(f"a: &a {text}\nb: [*a, *a]\nc: {deep}\nd: [.inf, -.inf, 1e308, '1e999']\n").data
    assert data["b"] == [text, text]
    assert data["d"] == [float("inf"), float("-inf"), 1e308, "1e999"]


def test_a_file_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    with spec.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SpecError, match=rf"a spec has at most {MOST_BYTES:,} bytes"):
        load_spec(spec)


BOMB = "name: bomb\nsteps:\n  load:\n    type: LoadDataFromDicts\n    data:\n    - a: &a [x,x,x,x,x,x,x,x,x,x]\n"


def test_validate_refuses_a_bomb_with_file_and_line(tmp_path: Path) -> None:
    names = pairwise("abcdefghi")
    lines = [f"    - {name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in names]
    spec = tmp_path / "bomb.yaml"
    spec.write_text(BOMB + "".join(lines))
    result = CliRunner().invoke(group, ["validate", str(spec)])
    assert result.exit_code == 2
    assert f"{spec}:9: aliases (*) of this node expand to more than 100,000 values" in result.stderr


MARKS = "abx01.eE+-:,[]{}&*!|>'\"%@`#?~ \n\t\0\r\x85\u2028\ud800"
NUMBERS = ["0x", "0o", "1:2", ".inf", ".nan", "null", "2001-01-01", "!!int", "!!float", "!!binary", "!!set"]
WORDS = ["<<: ", "---", "...", "%YAML", "&a", "*a", "-", ":", "?", "\\u", "=", *NUMBERS]
pieces = st.sampled_from([*MARKS, *WORDS, *(f"{word} " for word in WORDS), "%YAML 1.1\n---\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=30).map("".join))
def test_any_text_is_data_or_an_error_in_words(text: str) -> None:
    said = "s.yaml:"
    try:
        YamlSource.parse(text, "s.yaml")
    except SpecError as error:
        said = str(error)
    assert said.startswith("s.yaml:")
