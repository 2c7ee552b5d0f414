"""Names of payloads in files: what they say, and that a message takes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.payloads.names import digest_of, make_name, parse_name
from common.protocol.step_name import STEP_NAME
from common.protocol.wire import FILE_NAME

STEPS = st.from_regex(STEP_NAME, fullmatch=True)
COUNTS = st.integers(0, 2**53)


@given(STEPS, COUNTS, COUNTS, st.binary())
def test_a_name_says_which_batch_made_the_payload_and_what_is_in_it(
    step: str, seq: int, attempt: int, data: bytes
) -> None:
    name = make_name(step, seq, attempt, data)
    found = parse_name(name)
    assert found is not None
    assert (found.step, found.seq, found.attempt, found.digest) == (step, seq, attempt, digest_of(data))
    assert FILE_NAME.fullmatch(name)


def test_two_workers_that_have_the_same_batch_write_different_files() -> None:
    assert make_name("a", 0, 0, b"rows") != make_name("a", 0, 0, b"rows")


@pytest.mark.parametrize("name", ["penstock-run", "artifacts", "a-0-0-0123456789ab", ".probe-00", "", "../a-0-0-x"])
def test_what_is_no_payload_has_no_such_name(name: str) -> None:
    assert parse_name(name) is None
