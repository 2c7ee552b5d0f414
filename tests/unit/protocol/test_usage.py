"""What calls of models took adds up in any order, and travels as it is."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from common.protocol.usage import MODEL_CHARACTERS, Counts, Usage, usage_in, usage_out

tokens = st.none() | st.integers(0, 10**9)
calls = st.builds(
    Usage.of_call,
    st.sampled_from(["gpt", "claude", "m"]),
    input_tokens=tokens,
    output_tokens=tokens,
    cached_tokens=tokens,
    reasoning_tokens=tokens,
    finish_reason=st.none() | st.sampled_from(["stop", "length", "<script>"]),
)


@given(st.lists(calls), st.randoms())
def test_a_sum_does_not_depend_on_the_order_nor_on_what_is_added_first(calls: list[Usage], random: Random) -> None:
    total = sum(calls, Usage())
    shuffled = random.sample(calls, len(calls))
    middle = len(calls) // 2
    assert sum(shuffled[:middle], Usage()) + sum(shuffled[middle:], Usage()) == total
    assert total.total.requests == len(calls)
    assert bool(total) == bool(calls)


@given(st.lists(calls))
def test_it_is_read_as_it_was_written(calls: list[Usage]) -> None:
    usage = sum(calls, Usage())
    assert usage_in(usage_out(usage)) == usage


@given(calls, calls)
def test_what_is_more_and_what_is_left_are_never_negative(one: Usage, other: Usage) -> None:
    first, second = one.total, other.total
    more = first.or_more(second)
    assert more.without(first).requests == max(0, second.requests - first.requests)
    assert (first + second).without(second) == first
    assert min(first.without(second).output_tokens, more.without(second).output_tokens) >= 0


def test_an_answer_that_does_not_say_its_tokens_is_one_of_unknown_length() -> None:
    assert Usage.of_call("m").of("m") == Counts(1, 1)
    assert Usage.of_call("m", input_tokens=5).of("m") == Counts(1, 1, 5)
    assert Usage.of_call("m", input_tokens=5, output_tokens=0).of("m").unreported == 0


def test_what_an_endpoint_says_of_itself_is_kept_within_bounds() -> None:
    counts = Usage.of_call("m" * 999, input_tokens=5, output_tokens=1, cached_tokens=9, finish_reason="x" * 99)
    assert counts.models[0][0] == "m" * MODEL_CHARACTERS
    assert counts.total.cached_tokens == 5
    assert counts.total.finish_reasons == (("other", 1),)
