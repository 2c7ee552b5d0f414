"""Whether what has failed is tried again, and after how many seconds. Pure but for the jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from json import JSONDecodeError

from common.components import language_models
from common.errors import words_of
from common.steps.base import BaseStep

_REPEATABLE = (TypeError, KeyError, ValueError, AttributeError)
"""Errors of code and data; a second one that says the same will not be the last one to do so."""
_MAY_PASS = (OSError, JSONDecodeError)


class Retry:
    """The retries of one call of a step's code.

    Args:
        final: the `final_errors` of the step, which are looked for once and not for each batch.

    Attributes:
        tries: calls so far that have failed.
    """

    def __init__(self, step: BaseStep, final: tuple[type[Exception], ...]) -> None:
        self.tries = 0
        self._final = final
        self._delays = delays(step)
        self._before: Exception | None = None

    def after(self, error: Exception) -> float | None:
        """Seconds to wait before the next try.

        None where there is none: the step's `retries` are used up, the `final_errors` of the step or of an LLM in it
        name the error, or it is one of the code or the data and says, to the letter, what the one before said.
        """
        self.tries += 1
        before, self._before = self._before, error
        if isinstance(error, self._final) or (before is not None and _repeats(error, before)):
            return None
        return next(self._delays, None)


def final_errors(step: BaseStep) -> tuple[type[Exception], ...]:
    """What cannot succeed, as the step and the language models in it say."""
    return (*step.final_errors, *(error for _, llm in language_models(step) for error in llm.final_errors))


def delays(step: BaseStep) -> Iterator[float]:
    """Seconds before each retry: doubled each time, up to the step's maximum, with jitter."""
    first, most = step.backoff
    for retry in range(step.retries):
        yield min(most, first * 2**retry) * random.uniform(0.5, 1.0)


def _repeats(error: Exception, before: Exception) -> bool:
    # The next call may succeed: of a connection or a timeout, or of a model whose answer was no JSON.
    if isinstance(error, _MAY_PASS) or not isinstance(error, _REPEATABLE):
        return False
    return type(error) is type(before) and words_of(error) == words_of(before)
