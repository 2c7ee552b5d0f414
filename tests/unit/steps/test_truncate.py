"""TruncateTextColumn: at most a number of characters, words or tokens, and the rest of the text unchanged."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError, UsageError
from common.steps import TruncateTextColumn


def cut(text: object, max_length: int, tokenizer: str | None = None, column: str = "text") -> Any:
    step = TruncateTextColumn(column=column, max_length=max_length, tokenizer=tokenizer)
    step.load()
    [[row]] = step.process([{column: text, "id": 1}])
    assert row["id"] == 1
    return row[column]


@pytest.mark.parametrize("tokenizer", [None, "characters"])
def test_without_a_tokenizer_characters_count(tokenizer: str | None) -> None:
    assert cut("größer", 3, tokenizer) == "grö"
    assert cut("größer", 6, tokenizer, column="other") == "größer"
    assert cut("", 1, tokenizer) == ""


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "  to"), (3, "  to be\nor"), (4, "  to be\nor not "), (9, "  to be\nor not ")],
)
def test_words_are_what_white_space_parts_and_it_stays(count: int, expected: str) -> None:
    assert cut("  to be\nor not ", count, "words") == expected


@given(text=st.text(st.sampled_from("ab \n"), max_size=30), count=st.integers(1, 8))
def test_a_text_cut_to_words_is_a_beginning_with_so_many_words(text: str, count: int) -> None:
    left = cut(text, count, "words")
    assert text.startswith(left)
    assert left.split() == text.split()[:count]


def test_none_stays_none_and_what_is_no_text_fails() -> None:
    assert cut(None, 3) is None
    with pytest.raises(RowError, match="column 'text' holds a value of type int where text is expected"):
        cut(5, 3)
    with pytest.raises(RowError, match="no column 'text'; it has 'other'"):
        list(TruncateTextColumn().process([{"other": "x"}]))


def test_without_transformers_a_tokenizer_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"step 'cut' .* 'gpt2', .* \(pip install transformers\)"):
        TruncateTextColumn(name="cut", tokenizer="gpt2").load()


class _Tokenizer:
    """Speaks transformers' interface: one token for each UTF-8 byte but the spaces."""

    def __init__(self, is_fast: bool) -> None:
        self.is_fast = is_fast

    def __call__(self, text: str, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool) -> Any:
        assert not add_special_tokens
        places = [(at, byte) for at, char in enumerate(text) if char != " " for byte in char.encode()]
        encoded: dict[str, Any] = {"input_ids": [byte for _, byte in places]}
        return encoded | ({"offset_mapping": [(at, at + 1) for at, _ in places]} if return_offsets_mapping else {})

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def is_fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A package `transformers` with one tokenizer, `bytes`, which is of the fast or of the slow kind."""

    class AutoTokenizer:
        @staticmethod
        def from_pretrained(name: str) -> _Tokenizer:
            if name != "bytes":
                raise OSError(f"{name} is not a local folder")
            return _Tokenizer(request.param)

    module = ModuleType("transformers")
    module.AutoTokenizer = AutoTokenizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", module)
    return bool(request.param)


def test_with_a_tokenizer_its_tokens_count(is_fast: bool) -> None:
    assert cut("ab cd", 3, "bytes") == ("ab c" if is_fast else "abc")
    assert cut("ab cd", 4, "bytes") == "ab cd"
    with pytest.raises(UsageError, match="cannot load the tokenizer 'missing': missing is not a local folder"):
        cut("ab", 3, "missing")


def test_a_character_of_which_only_some_tokens_fit_is_left_out(is_fast: bool) -> None:
    assert cut("aß", 2, "bytes") == ("a" if is_fast else "a\ufffd")
