"""The text tools of all renderings: names that Kubernetes takes, and YAML that older readers understand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.protocol.step_name import STEP_NAME
from coordinator.rendering.names import LONGEST, dns_name
from coordinator.rendering.yaml_text import Anchored, Commented, yaml_text
from tests.support.rendered import documents

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
STEP = st.from_regex(STEP_NAME, fullmatch=True)


@given(STEP)
def test_a_name_is_a_label_of_dns(text: str) -> None:
    assert LABEL.fullmatch(dns_name(text))
    assert len(dns_name(text)) <= LONGEST


@given(STEP, STEP)
def test_two_texts_have_two_names(one: str, other: str) -> None:
    assert (dns_name(one) == dns_name(other)) == (one == other)


def test_a_text_that_is_a_name_stays_as_it_is() -> None:
    assert dns_name("quickstart-worker-generate") == "quickstart-worker-generate"


@pytest.mark.parametrize(
    "text", ["no", "Yes", "on", "y", "null", "~", "1e3", "012", "0x1f", "1:30", "2026-01-01", "-1", "="]
)
def test_text_stays_text_for_readers_of_yaml_1_1(text: str) -> None:
    assert documents(yaml_text([{"key": text, "list": [text]}])) == [{"key": text, "list": [text]}]


@given(
    st.recursive(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])), st.lists, max_leaves=5)
)
def test_what_is_written_is_read(value: Any) -> None:
    assert documents(yaml_text([{"key": value}])) == [{"key": value}]


def test_comments_stand_above_their_keys_and_anchors_are_taken_over() -> None:
    base = Anchored(Commented({"image": "one"}, {"image": "Which."}), "base")
    text = yaml_text([{"x-base": base, "a": Anchored({"more": 1}, merged=base)}], "Top.\n\nBelow.")
    assert text == ("# Top.\n#\n# Below.\n\nx-base: &base\n  # Which.\n  image: one\na:\n  <<: *base\n  more: 1\n")
