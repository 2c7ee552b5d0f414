"""Asking a model for one answer that a row can keep: a bad one is asked again, as another sample.

Each generation of a row is asked for by itself, so that one bad answer of three costs one more call, not three.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from common.errors import RowError
from common.llms.answers.row_answers import note_used
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.kept_generations import generate_once
from common.llms.metering import Tally, keep, note_answer, one_try
from common.llms.structured.prompts import asked_to_repair
from common.llms.structured.reading import WrongForm, read
from common.llms.waiting import row_clock
from common.process.raised import without_frames
from common.steps.retry import GivenUp, Halts, OutOfRetries, Retry, RetryPolicy

T = TypeVar("T")
CUT_SHORT = ("length", "max_tokens", "model_length")
FILTERED = ("content_filter", "safety", "SAFETY", "RECITATION", "guardrail_intervened")
BROKEN_OFF = (
    *("abort", "aborted", "cancelled", "error", "incomplete", "insufficient_system_resource", "pause_turn"),
    "repetition",
)
"""Words of endpoints for an answer that ended before its end, such as vLLM's and SGLang's where they go down."""
SHOWN_CHARACTERS = 500


class BadAnswer(RowError):
    """A model has answered, but with nothing that a row can keep.

    Args:
        answer: as it came.
    """

    def __init__(self, message: str, answer: Generation) -> None:
        self.answer = answer
        super().__init__(message)


class Unreadable(BadAnswer):
    """The answer is a text, but not one that the step can read."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a step asks for an answer.

    Args:
        policy: how often a bad answer or a failed call is repeated, and after how long.
        accept: reasons to finish with which an answer may be kept although it is cut short or filtered.
        parse_retries: how often an answer that cannot be read is asked for again.
        options: of the call.
    """

    policy: RetryPolicy
    accept: Collection[str] = ()
    parse_retries: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def check_answer(answer: Generation, model: str, accept: Collection[str] = ()) -> None:
    """Checks that a row can keep the answer.

    Args:
        accept: reasons to finish with which it may be kept although it is cut short or filtered.

    Raises:
        BadAnswer: says what is wrong.
    """
    reason = answer.finish_reason
    has_text = bool((answer.text or "").strip())
    if answer.refusal and not has_text:
        raise BadAnswer(f"model '{model}' refused: {answer.refusal[:500]}", answer)
    if reason in CUT_SHORT and "length" not in accept and reason not in accept:
        where = "inside its reasoning" if answer.reasoning and not has_text else "at the limit of its tokens"
        raise BadAnswer(
            f"model '{model}' was cut off {where} (finish_reason: {reason}): raise max_tokens, or keep what there is "
            f"with accept: [{reason}]",
            answer,
        )
    if reason in FILTERED and reason not in accept:
        raise BadAnswer(f"the answer of model '{model}' was filtered (finish_reason: {reason})", answer)
    if reason in BROKEN_OFF and reason not in accept:
        raise BadAnswer(f"the answer of model '{model}' was broken off (finish_reason: {reason})", answer)
    if not has_text and not answer.tool_calls:
        raise BadAnswer(f"model '{model}' gave no text (finish_reason: {reason or 'not given'})", answer)


async def _counted(llm: LLM, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> tuple[Generation, Tally]:
    """An answer and what it took, which is spent, and kept once the caller says so."""
    with one_try() as tally:
        answer = await generate_once(llm, messages, options)
        if tally.is_empty:  # a client that does not count its answers itself
            note_answer(llm.model_name, answer)
    return answer, tally


async def _in_form(
    llm: LLM,
    messages: Sequence[ChatMessage],
    first: tuple[Generation, Tally],
    accept: Collection[str],
    options: Mapping[str, Any],
) -> tuple[Generation, Tally]:
    """The answer in the form that the model's client demands, without what is around it, and what it took.

    A model is shown an answer of the wrong form once, with its fault. The tokens of the answer are those of both calls;
    the wrong answer is not kept, and so does not count as such.

    Raises:
        BadAnswer: it still has the wrong form.
    """
    answer, tally = first
    form = llm.answer_form
    if form is None:
        return first
    try:
        return replace(answer, text=read(form, answer.text or "").text), tally
    except WrongForm as wrong:
        fault = str(wrong)
    if form.repair:
        second, tally = await _counted(llm, asked_to_repair(messages, answer.text or "", fault), options)
        answer = replace(
            second,
            input_tokens=_sum(answer.input_tokens, second.input_tokens),
            output_tokens=_sum(answer.output_tokens, second.output_tokens),
        )
        check_answer(answer, llm.model_name, accept)
        try:
            return replace(answer, text=read(form, answer.text or "").text), tally
        except WrongForm as wrong:
            fault = str(wrong)
    shown = (answer.text or "")[:SHOWN_CHARACTERS]
    raise BadAnswer(f"the answer of model '{llm.model_name}' has the wrong form: {fault}; the answer: {shown}", answer)


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first + (second or 0)


async def ask_and_read(
    llm: LLM, messages: Sequence[ChatMessage], asking: Asking, read_answer: Callable[[Generation], T]
) -> tuple[Generation, T]:
    """One answer that a row can keep, and what was read from it.

    Args:
        read_answer: raises Unreadable for an answer that it cannot read.

    Raises:
        OutOfRetries: none came.
        UsageError: the run must halt.
        Interrupted: the worker must stop.
    """
    retry, clock, unread = Retry(asking.policy), row_clock(), 0
    while True:
        used = note_used()
        try:
            answer, tally = await _counted(llm, messages, asking.options)
            check_answer(answer, llm.model_name, asking.accept)
            answer, tally = await _in_form(llm, messages, (answer, tally), asking.accept, asking.options)
            found = read_answer(answer)
            keep(tally)
            return answer, found
        except Exception as error:
            if clock.was_interrupted:
                raise
            if isinstance(error, BadAnswer):
                used.reject()
            if isinstance(error, Unreadable):
                unread += 1
                if unread > asking.parse_retries:
                    raise OutOfRetries(error, retry.tries + unread) from error
                without_frames(error)
                continue
            verdict = retry.after(error)
            if isinstance(verdict, Halts):
                raise
            if isinstance(verdict, GivenUp):
                raise OutOfRetries(verdict.cause, retry.tries + unread) from error
            without_frames(error)
            pause = 0.0 if isinstance(error, BadAnswer) else verdict.seconds
        if pause:
            await clock.wait(seconds=pause)
