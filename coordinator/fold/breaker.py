"""When too many rows of a step fail, the run halts before it pays for more of the same."""

from __future__ import annotations

from collections import deque

from common.protocol.batch import Result

MINIMUM_ROWS = 20
WINDOW_ROWS = 1_000


class Breaker:
    """Judges the results of one step in the order of the journal.

    Results with failed rows are held until `MINIMUM_ROWS` rows are in, so that a run with a wrong key or a broken
    prompt keeps none of them: a reopened run does them again.

    Args:
        rate: share of failed rows, over the last `WINDOW_ROWS` rows, above which it trips. A step that ends with fewer
            than `MINIMUM_ROWS` trips where all of them failed; none does where the rate is 1.
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
        """Rows judged, of the window."""
        return self._rows

    @property
    def failed(self) -> int:
        """Failed rows of the window."""
        return self._failed

    def judge(self, result: Result) -> list[Result]:
        """Returns the results that may be applied now, this one or some held before; sets `tripped`."""
        self._count(result)
        if not self.tripped and self._rows >= MINIMUM_ROWS and self._failed > self.rate * self._rows:
            self.tripped = True
        if result.failed and (self.tripped or self._rows < MINIMUM_ROWS):
            self.held.append(result)
            return []
        if self.tripped or self._rows < MINIMUM_ROWS:
            return [result]
        return [*self.release(), result]

    def end(self, taken: int, failed: int) -> list[Result]:
        """The step has no more rows to judge by: gives up what is held, to be applied, or trips where every row failed.

        Args:
            taken, failed: rows of the results that were applied.
        """
        taken += sum(result.taken for result in self.held)
        failed += sum(result.failed for result in self.held)
        if failed == taken and failed > self.rate * taken:
            self.tripped = True
            return []
        return self.release()

    def release(self) -> list[Result]:
        """Gives up what is held, to be applied whatever has failed."""
        released, self.held = self.held, []
        return released

    def reopen(self) -> list[Result]:
        """Starts counting anew and gives up what is held, to be done again."""
        self.tripped = False
        self._recent.clear()
        self._rows = self._failed = 0
        return self.release()

    def _count(self, result: Result) -> None:
        if not result.taken:
            return
        self._recent.append(result)
        self._rows += result.taken
        self._failed += result.failed
        while self._rows - self._recent[0].taken >= WINDOW_ROWS:
            oldest = self._recent.popleft()
            self._rows -= oldest.taken
            self._failed -= oldest.failed
