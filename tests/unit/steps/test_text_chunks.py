"""Chunks of texts: whatever the text, they cover it, none is too long, and they overlap as asked."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.steps.loading.text_chunks import Unit, split_text

TEXTS = st.one_of(
    st.text(st.sampled_from("ab.!?\n \t。\r\u2028"), max_size=200),
    st.text(max_size=200),
    st.lists(st.sampled_from(["One.", "Two words!\n\n", "a", "internationally", "\n", " ", "第一。", "“Yes?” "])).map(
        " ".join
    ),
)


def length(text: str, unit: Unit) -> int:
    return len(text) if unit == "characters" else len(text.split())


def cut(text: str, size: int, overlap: int = 0, unit: Unit = "characters") -> list[str]:
    return [text[start:end] for start, end in split_text(text, size, overlap, unit)]


@given(
    text=TEXTS, size=st.integers(1, 60), share=st.floats(0, 1, exclude_max=True), unit=st.sampled_from(get_args(Unit))
)
def test_chunks_cover_any_text_are_never_too_long_and_overlap_at_most_as_asked(
    text: str, size: int, share: float, unit: Unit
) -> None:
    overlap = int(size * share)
    chunks = split_text(text, size, overlap, unit)
    assert bool(chunks) == bool(text)
    assert all(length(text[start:end], unit) <= size for start, end in chunks)
    if chunks:
        assert (chunks[0][0], chunks[-1][1]) == (0, len(text))
    for (start, end), (following, last) in pairwise(chunks):
        assert start < following <= end < last
        assert length(text[following:end], unit) <= overlap


@given(text=TEXTS, size=st.integers(1, 60))
def test_without_overlap_the_chunks_are_the_text(text: str, size: int) -> None:
    assert "".join(cut(text, size)) == text


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=9), min_size=1), size=st.integers(1, 20), more=st.integers(0, 19)
)
def test_an_overlap_in_words_has_exactly_as_many_and_no_word_is_cut(words: list[str], size: int, more: int) -> None:
    overlap = min(more, size - 1)
    text = " ".join(words)
    chunks = split_text(text, size, overlap, "words")
    assert all(set(text[start:end].split()) <= set(words) for start, end in chunks)
    assert all(length(text[start:end], "words") == overlap for (_, end), (start, _) in pairwise(chunks))


@given(words=st.lists(st.text("abc", min_size=1, max_size=9), min_size=1), size=st.integers(20, 60))
def test_an_overlap_in_characters_is_as_long_as_whole_words_allow(words: list[str], size: int) -> None:
    text = " ".join(words)
    for (_, end), (start, _) in pairwise(split_text(text, size, 10)):
        assert text[start - 1] == text[end - 1] == " "
        assert end - start <= 10
        before = text.rfind(" ", 0, start - 1) + 1
        assert end - before > 10


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("One two.\n\nThree. Four", ["One two.\n\n", "Three. Four"]),
        ("One two.\nThree four.", ["One two.\n", "Three four."]),
        ("Once. Twice. Thrice.", ["Once. ", "Twice. ", "Thrice."]),
        ("one two three four", ["one two ", "three four"]),
        ("internationalization", ["internationa", "lization"]),
        ("第一二三四五。第六七八九十。", ["第一二三四五。", "第六七八九十。"]),
        ("“Is it so?” it asked", ["“Is it so?” ", "it asked"]),
    ],
)
def test_a_chunk_ends_at_the_best_border_in_its_second_half(text: str, chunks: list[str]) -> None:
    assert cut(text, 12) == chunks


def test_an_overlap_in_the_middle_of_a_long_word_is_exact() -> None:
    assert cut("abcdefghij", 4, 2) == ["abcd", "cdef", "efgh", "ghij"]


def test_an_overlap_that_no_word_fits_into_is_none() -> None:
    assert cut("several internationally known", 24, 4) == ["several internationally ", "known"]


def test_words_are_counted_however_they_are_separated() -> None:
    assert cut("  a\n\tb  c d", 2, 1, "words") == ["  a\n\tb  ", "b  c ", "c d"]
