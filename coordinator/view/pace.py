"""How fast a run goes: rows per second of each step, and the estimated time left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from coordinator.view.view import RunView

NOW_SECONDS = 10.0
"""The displayed rate covers the last few seconds..."""
TREND_SECONDS = 60.0
"""...and the time left is estimated over a longer period, since batches come in lumps."""
SAMPLE_SECONDS = 0.9
LEAST_SECONDS = 3.0
"""No rate is reported before this much time has been observed."""


@dataclass(frozen=True, slots=True)
class _Sample:
    elapsed: float
    rows: dict[str, int]
    batches: dict[str, int]


class Pace:
    """Remembers the views of the last minute. What a resumed run did before them does not count as speed."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def see(self, view: RunView) -> RunView:
        """Returns `view` with the speed of its steps and the time left. Views must be passed in order of time."""
        now = _Sample(
            view.elapsed,
            {step.name: step.rows_out for step in view.steps},
            {step.name: step.batches_done for step in view.steps},
        )
        if not self._samples or now.elapsed - self._samples[-1].elapsed >= SAMPLE_SECONDS:
            self._samples.append(now)
        while len(self._samples) > 1 and self._samples[0].elapsed < now.elapsed - TREND_SECONDS:
            self._samples.popleft()
        rates = self._rates(now)
        steps = tuple(replace(step, rows_per_second=rates.get(step.name)) for step in view.steps)
        return replace(view, steps=steps, seconds_left=self._seconds_left(now, view))

    def _rates(self, now: _Sample) -> dict[str, float]:
        first = self._since(now.elapsed - NOW_SECONDS, now)
        if first is None:
            return {}
        seconds = now.elapsed - first.elapsed
        return {step: max(rows - first.rows.get(step, 0), 0) / seconds for step, rows in now.rows.items()}

    def _seconds_left(self, now: _Sample, view: RunView) -> float | None:
        first = self._since(now.elapsed - TREND_SECONDS, now)
        if first is None:
            return None
        longest = 0.0
        for step in view.steps:
            if step.batches_total is None:
                return None
            left = step.batches_total - step.batches_done
            gained = step.batches_done - first.batches.get(step.name, 0)
            if left > 0 and gained <= 0:
                return None
            if left > 0:
                longest = max(longest, left * (now.elapsed - first.elapsed) / gained)
        return longest or None

    def _since(self, time: float, now: _Sample) -> _Sample | None:
        """The oldest sample taken at `time` or later, if enough time has passed since."""
        for sample in self._samples:
            if sample.elapsed >= time:
                return sample if now.elapsed - sample.elapsed >= LEAST_SECONDS else None
        return None
