"""The scores in a reply of a judge: a number on its scale, and one for each of several texts. Pure.

A score is never rounded, moved to the end of its scale, or given to another text than the one that the reply names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from common.cells import kind_of
from common.errors import RowError
from common.steps.tasks.reply_parts import object_in, tagged, without_thoughts

_SHOWN = 80
_SCORE = re.compile(r"([+\-\u2212]?\d{1,6})(?:\.0{1,6})?(?:\s?(?:/|out of)\s?(\d{1,6}))?", re.IGNORECASE)
_LETTER = re.compile(r"(?:(?:text|response|answer|generation)\s)?([ab])|tie", re.IGNORECASE)
_BEFORE, _AFTER = " \t\r\n*_`|\"'([", " \t\r\n*_`|\"')]."
_REMARK = re.compile(r"[-\u2013\u2014(,;]")
_NUMBERED = re.compile(
    r"^[ \t>|*_`#-]*(?:(?:text|response|instruction|question|answer)[ \t]?#?)?"
    r"(?:[\[(](?P<bracketed>\d{1,4})[\])]|(?P<plain>\d{1,4})(?=[ \t*_`]*(?:[:)|]|[.-][ \t])))"
    r"(?:[*_`]*(?:[:)|]|[.-](?=[ \t])))?[ \t*_`|]*"
    r"(?P<label>(?:score|rating)[ \t*_`]*[:=]?)?(?P<rest>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that begins with the number of a text: `[1] Score: 3`, `1. Score: 3`, `Response 1: 3`, `| 1 | 3 |`."""
_TEXT_TAG = re.compile(r"<text_(\d{1,6})>", re.IGNORECASE)


def score_of(value: Any, lowest: int, highest: int) -> int:
    """A whole number on a scale: of a number in JSON, or of a text such as `4`, `**4**`, `4/5` or `4 out of 5`.

    Raises:
        RowError: it is something else, is not on the scale, or says that it is of another scale.
    """
    number = None
    if isinstance(value, str):
        match = _SCORE.fullmatch(_bare(value))
        if match is not None and (match[2] is None or int(match[2]) == highest):
            number = int(match[1].replace("\u2212", "-"))
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        number = int(value)
    if number is None or not lowest <= number <= highest:
        shown = f"'{value[:_SHOWN]}'" if isinstance(value, str) else str(value)[:_SHOWN]
        raise RowError(f"{shown} is not a whole number from {lowest} to {highest}")
    return number


def letter_of(value: Any, *, tie: bool = False) -> Literal["A", "B", "tie"]:
    """Which of two texts a text such as `A`, `**B**`, `Response A` names.

    Args:
        tie: it may also be `tie`.

    Raises:
        RowError: it names none of them, or more than one.
    """
    match = _LETTER.fullmatch(_bare(value)) if isinstance(value, str) else None
    if match is not None and match[1]:
        return "A" if match[1] in "Aa" else "B"
    if match is None or not tie:
        raise RowError(f"{str(value)[:_SHOWN]!r} is none of {'A, B and tie' if tie else 'A and B'}")
    return "tie"


def numbered_scores(reply: str, count: int, lowest: int, highest: int) -> list[int]:
    """The scores of the texts 1 to `count`, from lines such as `[1] Score: 3`, or from `{"scores": [3]}`.

    Raises:
        RowError: they are not the scores of these texts and of no others, or a text has two that differ.
    """
    text = without_thoughts(reply)
    found: dict[int, int] = {}
    for match in _NUMBERED.finditer(text):
        rest = _without_remark(_bare(match["rest"]))
        if not match["label"] and not _SCORE.fullmatch(rest):
            continue  # a line of a list that scores nothing
        number, score = int(match["bracketed"] or match["plain"]), score_of(rest, lowest, highest)
        if found.setdefault(number, score) != score:
            raise RowError(f"text {number} has two scores that differ")
    if not found:
        return [score_of(score, lowest, highest) for score in _array_in(text, "scores", count)]
    _check_numbers(list(found), count)
    return [found[number] for number in range(1, count + 1)]


def reviews_in(reply: str, count: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """What a reply says of each of `count` texts, between tags `<text_1>`, `<text_2>` and tags of these names inside.

    A reply without the tags may be JSON: `{"texts": [{"text": 1, ...}]}`, with each number once.

    Raises:
        RowError: it does not have these texts and no others, each once and with all names.
    """
    text = without_thoughts(reply)
    if numbers := [int(number) for number in _TEXT_TAG.findall(text)]:
        _check_numbers(numbers, count)
        blocks = [tagged(text, f"text_{number}") for number in range(1, count + 1)]
        return [{name: tagged(block, name) for name in names} for block in blocks]
    reviews = {}
    for review in _array_in(text, "texts", count):
        if not isinstance(review, dict):
            raise RowError(f"an element of texts holds {kind_of(review)} where an object is expected")
        if missing := [name for name in ("text", *names) if name not in review]:
            raise RowError(f"an element of texts has no {', '.join(missing)}")
        reviews[score_of(review["text"], 1, count)] = review
    _check_numbers(list(reviews), count)
    return [{name: reviews[number][name] for name in names} for number in range(1, count + 1)]


def _array_in(reply: str, key: str, count: int) -> list[Any]:
    values = object_in(reply, [key])[key]
    if not isinstance(values, list):
        raise RowError(f"the key {key} holds {kind_of(values)} where an array is expected")
    if len(values) != count:
        raise RowError(f"the key {key} has {len(values)} elements for {count} texts")
    return values


def _check_numbers(numbers: Sequence[int], count: int) -> None:
    if sorted(numbers) != list(range(1, count + 1)):
        said = ", ".join(map(str, numbers[:20]))
        raise RowError(f"it speaks of the texts {said}, and not once of each from 1 to {count}")


def _bare(text: str) -> str:
    return text.lstrip(_BEFORE).rstrip(_AFTER)


def _without_remark(rest: str) -> str:
    """Without the words after a score; a number among them might be another score, so it stays."""
    remark = _REMARK.search(rest, 1)
    if remark is None or any(character.isdigit() for character in rest[remark.start() :]):
        return rest
    return _bare(rest[: remark.start()])
