"""Halts a run when too many rows of a step fail, before it pays for more of the same."""

from __future__ import annotations

from collections import deque

from common.protocol.batch import Result

MINIMUM_ROWS = 20
WINDOW_ROWS = 1_000


class Breaker:
    """Judges the results of one step in journal order. Rows that pass the step by do not count.

    Results with failed rows are held until `MINIMUM_ROWS` rows are in, so a run with a wrong key or a broken prompt
    keeps none of them, and a reopened run redoes them.

    Args:
        rate: share of failed rows among the last `WINDOW_ROWS` rows above which it trips. A step that ends with fewer
            than `MINIMUM_ROWS` rows trips if all of them failed. With a rate of 1, it never trips.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.tripped = False
        self.held: list[Result] = []
        self._recent: deque[Result] = deque()
        self._rows = 0
        self._failed = 0

    @property
    def rows(self) -> int:
        """Rows in the window that were judged."""
        return self._rows

    @property
    def failed(self) -> int:
        """Failed rows in the window."""
        return self._failed

    def judge(self, result: Result) -> list[Result]:
        """Returns the results that may be applied now, this one or some held earlier; sets `tripped`."""
        self._count(result)
        if not self.tripped and self._rows >= MINIMUM_ROWS and self._failed > self.rate * self._rows:
            self.tripped = True
        if result.failed and (self.tripped or self._rows < MINIMUM_ROWS):
            self.held.append(result)
            return []
        if self.tripped or self._rows < MINIMUM_ROWS:
            return [result]
        return [*self.release(), result]

    def end(self, given: int, failed: int) -> list[Result]:
        """Ends the judgement when no rows are left: returns the held results to apply, or trips if every row failed.

        Args:
            given, failed: rows of the applied results.
        """
        given += sum(result.given for result in self.held)
        failed += sum(result.failed for result in self.held)
        if failed == given and failed > self.rate * given:
            self.tripped = True
            return []
        return self.release()

    def release(self) -> list[Result]:
        """Returns the held results, to apply them whatever has failed."""
        released, self.held = self.held, []
        return released

    def reopen(self) -> list[Result]:
        """Resets the counts and returns the held results, to be redone."""
        self.tripped = False
        self._recent.clear()
        self._rows = self._failed = 0
        return self.release()

    def _count(self, result: Result) -> None:
        if not result.given:
            return
        self._recent.append(result)
        self._rows += result.given
        self._failed += result.failed
        while self._rows - self._recent[0].given >= WINDOW_ROWS:
            oldest = self._recent.popleft()
            self._rows -= oldest.given
            self._failed -= oldest.failed
