"""Where the outputs of a routing step go: in order, once their successors are chosen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from coordinator.fold.outputs import Closing, Output


@dataclass(slots=True)
class Choice:
    """Where one output of a routing step went. `outer` is its own origin if routing steps are nested."""

    origin: int
    branches: tuple[str, ...]
    outer: int | None


@dataclass(slots=True, eq=False)
class Fork:
    """Outputs of a routing step that have not been passed on.

    Args:
        unrouted: those that wait for a choice, with the marks between them.
        choices: known choices for outputs that wait behind another one.
    """

    unrouted: deque[Output | Closing] = field(default_factory=deque)
    choices: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, item: Output | Closing) -> bool:
        """Takes the next output; returns whether its successors must be chosen."""
        self.unrouted.append(item)
        return isinstance(item, Output) and item.payload.seq not in self.choices

    def choose(self, seq: int, successors: tuple[str, ...]) -> bool:
        """Records a choice; the first one for an output counts. Returns whether there was something to choose."""
        first = self.unrouted[0] if self.unrouted else None
        if not isinstance(first, Output) or seq < first.payload.seq:
            return False
        self.choices.setdefault(seq, successors)
        return True

    def chosen(self) -> Iterator[tuple[Output, Choice] | Closing]:
        """Takes out what may be passed on, as far as choices are known."""
        while self.unrouted:
            item = self.unrouted[0]
            if isinstance(item, Output) and item.payload.seq not in self.choices:
                return
            self.unrouted.popleft()
            if isinstance(item, Output):
                seq = item.payload.seq
                yield item, Choice(seq, self.choices.pop(seq), item.origin)
            else:
                yield item
