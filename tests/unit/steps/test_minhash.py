"""MinHashDedup: of texts that are nearly the same the first is kept, in one pass over all rows."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from common.errors import RowError, UsageError
from common.steps import GlobalStep, MinHashDedup

KEEP = "keep_row_after_minhash_filtering"
STORAGES: tuple[Literal["dict", "disk"], ...] = ("dict", "disk")
datasketch = pytest.importorskip("datasketch")


def kept(texts: Sequence[object], **options: Any) -> list[bool]:
    step = MinHashDedup(**options)
    step.load()
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    [made] = step.process(rows)
    assert [{"id": row["id"], "text": row["text"]} for row in made] == rows
    return [row[KEEP] for row in made]


def words(count: int, seed: int = 0) -> list[str]:
    choice = random.Random(seed)
    return [f"word{choice.randrange(10_000)}" for _ in range(count)]


@pytest.mark.parametrize("storage", STORAGES)
def test_of_the_same_texts_the_first_is_kept_and_no_row_is_dropped(storage: str) -> None:
    texts = ["one two three", "four five six", "one two three", "three  two\none", "", "", "four five six!"]
    assert kept(texts, storage=storage) == [True, True, False, False, True, False, True]


def test_near_duplicates_are_found_and_different_texts_are_not() -> None:
    base = words(400)
    near, half, other = [*base[:-2], "x", "y"], [*base[:200], *words(200, seed=1)], words(400, seed=2)
    assert kept([" ".join(text) for text in (base, near, half, other)]) == [True, False, True, True]


def test_a_lower_threshold_finds_more() -> None:
    base = words(400)
    texts = [" ".join(base), " ".join([*base[:300], *words(100, seed=1)])]
    assert kept(texts, threshold=0.9) == [True, True]
    assert kept(texts, threshold=0.4) == [True, False]


@pytest.mark.parametrize("threshold", [0.99, 1.0])
def test_the_highest_thresholds_find_equal_texts_alone(threshold: float) -> None:
    base = words(400)
    assert kept([" ".join(base), " ".join(base[:-20]), " ".join(base)], threshold=threshold) == [True, True, False]


def test_ngrams_find_texts_without_spaces_and_texts_shorter_than_one() -> None:
    text = "".join(chr(0x4E00 + random.Random(number).randrange(2000)) for number in range(300))
    assert kept([text, text[:-3] + "一二三", "ab", "ab", "abc"], tokenizer="ngrams", n=3, threshold=0.8) == [
        *(True, False),
        *(True, False),
        True,
    ]


def test_punctuation_counts_as_words_so_that_texts_of_it_differ() -> None:
    assert kept(["!!", "??", "!?", "!!"]) == [True, True, True, False]


def test_a_text_that_is_none_is_like_no_other() -> None:
    assert kept([None, "a", None, ""]) == [True, True, True, True]


def test_what_is_no_text_is_named() -> None:
    with pytest.raises(RowError, match="column 'text' holds a value of type int where text is expected"):
        kept(["a", 5])


@pytest.mark.parametrize("storage", STORAGES)
def test_it_remembers_nothing_from_one_call_to_the_next(storage: Literal["dict", "disk"]) -> None:
    """The engine calls it again with the same rows after an error or a crash."""
    step = MinHashDedup(storage=storage)
    step.load()
    rows = [{"text": text} for text in ("a b", "c d", "a b")]
    assert next(iter(step.process(rows))) == next(iter(step.process(rows)))
    assert rows == [{"text": "a b"}, {"text": "c d"}, {"text": "a b"}]


def test_a_long_text_is_hashed_piece_by_piece_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(words(5_000))
    step = MinHashDedup()
    step.load()
    whole = list(step._sketch(text).hashvalues)
    monkeypatch.setattr("common.steps.columns.minhash._TOKENS", 7)
    assert list(step._sketch(text).hashvalues) == whole


def test_it_is_a_global_step_so_that_one_worker_sees_all_rows_in_order() -> None:
    assert issubclass(MinHashDedup, GlobalStep)


def test_without_datasketch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    step = MinHashDedup()
    for look in (step.check_here, step.load):
        with pytest.raises(UsageError, match=r"needs the package datasketch: pip install 'penstock\[dedup\]'"):
            look()
