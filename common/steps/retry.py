"""What follows an error of a step's code: it is called again, its rows have failed, or the run halts. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from json import JSONDecodeError

from common.errors import FileChanged, RowError, UsageError, describe, words_of
from common.llms.model_client import ModelClient
from common.steps.base import BaseStep

_HALTING = (UsageError, FileChanged)
"""Errors of the step's setup: no other rows and no other call would succeed."""
_REPEATABLE = (TypeError, KeyError, ValueError, AttributeError)
"""Errors of code and data; after a second one with the same text, retrying is pointless."""
_MAY_PASS = (OSError, JSONDecodeError)

Jitter = Callable[[float, float], float]
"""Returns a number between two others."""


@dataclass(frozen=True, slots=True)
class Again:
    """The call is repeated after the given seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The rows of the call have failed, and so has the run if they may not be dropped.

    Attributes:
        error: of a dead letter. It names the line that raised, so it is made while the cause has its traceback.
    """

    cause: Exception
    error: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", describe(self.cause))


@dataclass(frozen=True, slots=True)
class Halts:
    """The run halts at once, regardless of the step's `on_error`.

    Attributes:
        error: of the run; a changed file already names place and fault.
    """

    cause: Exception
    error: str = field(init=False)

    def __post_init__(self) -> None:
        named = isinstance(self.cause, FileChanged)
        object.__setattr__(self, "error", str(self.cause) if named else describe(self.cause))


class OutOfRetries(RowError):
    """A step has retried part of its work by itself, as its policy says: the whole is not called again.

    Args:
        cause: the last error.
        tries: failed calls.
    """

    def __init__(self, cause: Exception, tries: int) -> None:
        self.cause = cause
        self.tries = tries
        super().__init__(str(cause))


Verdict = Again | GivenUp | Halts


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A step's policy for calls of its code that raise.

    Args:
        retries: calls after the first one.
        backoff: seconds before the first retry, and the maximum; doubled each time.
        final: errors without a retry, as declared by the step and the models that it asks.
    """

    retries: int
    backoff: tuple[float, float]
    final: tuple[type[Exception], ...] = ()

    @classmethod
    def of(cls, step: BaseStep, models: Iterable[ModelClient] = ()) -> RetryPolicy:
        """That of a step that asks these models."""
        errors = (error for model in models for error in model.final_errors)
        return cls(step.retries, step.backoff, (*step.final_errors, *errors))


class Retry:
    """One call of a step's code until it succeeds or is given up.

    Args:
        jitter: spreads the retries of workers that fail simultaneously.

    Attributes:
        tries: failed calls so far.
    """

    def __init__(self, policy: RetryPolicy, jitter: Jitter = random.uniform) -> None:
        self.tries = 0
        self._policy = policy
        self._jitter = jitter
        self._before: Exception | None = None

    def after(self, error: Exception) -> Verdict:
        """The consequence of the last call's error.

        The call is given up if the step's `retries` are used up, if its `final_errors` include the error, or if the
        error is one of code or data and has exactly the text of the previous one.
        """
        if isinstance(error, OutOfRetries):
            self.tries += error.tries
            return GivenUp(error.cause)
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
    # The next call may succeed after a connection error, a timeout, or a model's answer that was not JSON.
    if isinstance(error, _MAY_PASS) or not isinstance(error, _REPEATABLE):
        return False
    return type(error) is type(before) and words_of(error) == words_of(before)
