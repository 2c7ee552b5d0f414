"""The kept answers of a batch: a step that takes batches asks for those of all their rows in one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.llms.answers.row_answers import BatchAnswers, note_used, use_answers
from common.steps.tasks.asking import BadAnswer
from worker.runners.row_attempts import NOT_OF_AN_ANSWER


@contextmanager
def one_call(answers: BatchAnswers | None, *, alone: bool) -> Iterator[None]:
    """Around one call of a step's code.

    If a call for several rows fails, which of its answers are at fault is unknown: later calls, for parts of the batch,
    are given them again. A row that fails alone is asked about anew, unless the fault lies in no answer.

    Args:
        answers: of the batch; None if none are kept.
        alone: whether this call, repeated, is the last resort of its rows.
    """
    use_answers(answers)
    if answers is None:
        yield
        return
    answers.begin_call()
    used = note_used()
    try:
        yield
    except Exception as error:
        if alone and isinstance(error, BadAnswer):
            used.reject()
        if not alone or isinstance(error, NOT_OF_AN_ANSWER):
            answers.give_back()
        raise
    finally:
        use_answers(None)
