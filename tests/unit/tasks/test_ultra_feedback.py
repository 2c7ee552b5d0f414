"""Ratings under each aspect: what is asked, which columns come of it, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from common.errors import RowError
from common.steps.tasks import UltraFeedback
from common.steps.tasks.asker import PromptError
from common.steps.tasks.ultra_feedback import ASPECTS
from tests.support.tasks.scripted import rows_of, scripted

ROW = {"instruction": "Name a colour.", "generations": ["Blue.", "Blau."]}
PARTS = {"type_rationale": "kind", "type": "2", "rationale": "why", "rating": "4"}
TYPED = ("helpfulness", "truthfulness")


def reply(aspect: str, *, as_json: bool, **changed: Any) -> str:
    parts = {name: text for name, text in PARTS.items() if aspect in TYPED or not name.startswith("type")} | changed
    if as_json:
        numbers = {name: int(text) for name, text in parts.items() if name in ("type", "rating") and text is not None}
        texts = [{"text": number, **parts, **numbers} for number in (1, 2)]
        return orjson.dumps({"texts": texts}).decode()
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in parts.items())
    return "\n".join(f"<text_{number}>{inside}</text_{number}>" for number in (1, 2))


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_each_aspect_has_its_columns(aspect: str, as_json: bool) -> None:
    parameters = {"aspect": aspect, "use_default_structured_output": as_json}
    task: Any = scripted(UltraFeedback, reply(aspect, as_json=as_json), parameters)
    [row] = rows_of(task, ROW)
    expected: dict[str, Any] = {"ratings": [4, 4], "rationales": ["why", "why"]}
    if aspect in TYPED:
        expected = {
            "types": [2, 2],
            "rationales": ["kind", "kind"],
            "ratings": [4, 4],
            "rationales-for-ratings": ["why", "why"],
        }
    assert {name: row[name] for name in task.outputs if name in expected} == expected
    asked = task.llm.asked[0][-1]["content"]
    assert "<text_2>\nBlau.\n</text_2>" in asked
    for words in (ASPECTS[aspect].question, *ASPECTS[aspect].ratings, *ASPECTS[aspect].types.values()):  # type: ignore[index]
        assert words in asked


@pytest.mark.parametrize(("as_json", "none"), [(False, "None"), (False, " none. "), (True, None)])
def test_a_text_may_have_no_type(as_json: bool, none: str | None) -> None:
    parameters = {"aspect": "truthfulness", "use_default_structured_output": as_json}
    task = scripted(UltraFeedback, reply("truthfulness", as_json=as_json, type=none), parameters)
    assert rows_of(task, ROW)[0]["types"] == [None, None]


@pytest.mark.parametrize("changed", [{"type": "4"}, {"type": "1, 2"}, {"rating": "None"}, {"rating": "0"}])
def test_what_is_off_its_scale_fails_the_row(changed: dict[str, str]) -> None:
    task = scripted(UltraFeedback, reply("truthfulness", as_json=False, **changed), {"aspect": "truthfulness"})
    with pytest.raises(RowError, match="is not a whole number"):
        rows_of(task, ROW)


def test_a_review_of_fewer_texts_is_asked_for_again_and_never_padded() -> None:
    whole = reply("honesty", as_json=False)
    task: Any = scripted(UltraFeedback, [whole.splitlines()[0], whole], {"aspect": "honesty", "parse_retries": 1})
    assert rows_of(task, ROW)[0]["ratings"] == [4, 4]
    assert len(task.llm.asked) == 2


@pytest.mark.parametrize(
    ("generations", "says"),
    [
        ([], "holds 0 texts where at least one is expected"),
        (["Blue.", None], r"generations\[1\] holds None where text is expected"),
        (["Blue.", " "], r"generations\[1\] holds nothing but white space"),
        ("Blue.", "where a list is expected"),
    ],
)
def test_a_row_without_texts_fails_and_nothing_is_asked(generations: Any, says: str) -> None:
    task: Any = scripted(UltraFeedback, "x")
    with pytest.raises(PromptError, match=says):
        rows_of(task, {**ROW, "generations": generations})
    assert not task.llm.asked
