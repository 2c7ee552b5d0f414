"""What follows when the code of a step raises: it is called again, its rows have failed, or the run halts. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from json import JSONDecodeError

from common.building.components import language_models
from common.errors import FileChanged, UsageError, describe, words_of
from common.steps.base import BaseStep

_HALTING = (UsageError, FileChanged)
"""Errors of what the step was set up with: no other rows, and no other call, would fare better."""
_REPEATABLE = (TypeError, KeyError, ValueError, AttributeError)
"""Errors of code and data; a second one that says the same will not be the last one to do so."""
_MAY_PASS = (OSError, JSONDecodeError)

Jitter = Callable[[float, float], float]
"""Gives a number between two others."""


@dataclass(frozen=True, slots=True)
class Again:
    """The call is made again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The rows of the call have failed, and the run with them where they may not be left out."""

    cause: Exception

    @property
    def error(self) -> str:
        """What a dead letter says."""
        return describe(self.cause)


@dataclass(frozen=True, slots=True)
class Halts:
    """The run halts at once, whatever the step's `on_error` says."""

    cause: Exception

    @property
    def error(self) -> str:
        """What the run says; a file that has changed says where and what by itself."""
        return str(self.cause) if isinstance(self.cause, FileChanged) else describe(self.cause)


Verdict = Again | GivenUp | Halts


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What a step says about calls of its code that raise.

    Args:
        retries: calls after the first one.
        backoff: seconds before the first retry, and at most; doubled each time.
        final: errors after which there is no other call, as the step and the language models in it say.
    """

    retries: int
    backoff: tuple[float, float]
    final: tuple[type[Exception], ...] = ()

    @classmethod
    def of(cls, step: BaseStep) -> RetryPolicy:
        """Looks through the step for its models, so that it is made once and not for each batch."""
        models = (error for _, llm in language_models(step) for error in llm.final_errors)
        return cls(step.retries, step.backoff, (*step.final_errors, *models))


class Retry:
    """One call of a step's code, until it succeeds or is given up.

    Args:
        jitter: spreads the retries of workers that fail at the same time.

    Attributes:
        tries: calls so far that have failed.
    """

    def __init__(self, policy: RetryPolicy, jitter: Jitter = random.uniform) -> None:
        self.tries = 0
        self._policy = policy
        self._jitter = jitter
        self._before: Exception | None = None

    def after(self, error: Exception) -> Verdict:
        """What follows from the error of the last call.

        It is given up where the step's `retries` are used up, its `final_errors` name the error, or it is one of the
        code or the data and says, to the letter, what the one before said.
        """
        self.tries += 1
        before, self._before = self._before, error
        policy = self._policy
        if isinstance(error, _HALTING):
            return Halts(error)
        if (
            self.tries > policy.retries
            or isinstance(error, policy.final)
            or (before is not None and _repeats(error, before))
        ):
            return GivenUp(error)
        first, most = policy.backoff
        return Again(min(most, first * 2 ** (self.tries - 1)) * self._jitter(0.5, 1.0))


def _repeats(error: Exception, before: Exception) -> bool:
    # The next call may succeed: of a connection or a timeout, or of a model whose answer was no JSON.
    if isinstance(error, _MAY_PASS) or not isinstance(error, _REPEATABLE):
        return False
    return type(error) is type(before) and words_of(error) == words_of(before)
