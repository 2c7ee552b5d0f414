"""Labels: which labels a classified text may have, and how they are read from a reply. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import RowError
from common.steps.tasks.reply_forms import schema_with
from common.steps.tasks.reply_parts import folded, lists_in, object_in, without_thoughts, words_in

_KEYS = ("labels", "label")
_SHOWN = 20
_AROUND = " \t\r\n\"'`*."
"""What models write around a label that is all of their reply."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one task.

    Args:
        n: how many a text has.
        available: those to choose from; empty if any will do.
        default: those of a text that cannot be classified; empty if each can.
        exact: all of these.
        spelled: a label in small letters -> the label, of those that differ in more than that.
    """

    n: int
    available: Sequence[str]
    default: Sequence[str]
    exact: frozenset[str]
    spelled: Mapping[str, str]

    @classmethod
    def of(cls, n: int, available: Sequence[str], default: Sequence[str]) -> Labels:
        """Reads the parameters of a task once."""
        every = list(dict.fromkeys([*available, *default]))
        spellings = [folded(label) for label in every]
        times = Counter(spellings)
        spelled = {key: label for key, label in zip(spellings, every, strict=True) if times[key] == 1}
        return cls(n, tuple(available), tuple(default), frozenset(every), spelled)

    def read(self, reply: str) -> list[str]:
        """The labels of a reply: `n` different ones, or the default.

        Raises:
            RowError: they are not there once, or are others.
        """
        given = self._given(reply)
        texts = given if isinstance(given, list) else [given]
        found = [self._label(words_in(text, "a label")) for text in texts]
        if self.default and sorted(found) == sorted(self.default):
            return list(self.default)
        if len(found) != self.n:
            raise RowError(f"it has {len(found)} labels where {self.n} are expected")
        if len(set(found)) < len(found):
            raise RowError("it has a label twice")
        if beside := [label for label in found if label in self.default and label not in self.available]:
            raise RowError(f"it has '{beside[0]}', which is for texts that have no other label, beside others")
        return found

    def _given(self, reply: str) -> Any:
        """A label or a list of them: all that the reply says, or what its JSON object or its only JSON array has."""
        said = without_thoughts(reply).strip()
        for bare in (said, said.strip(_AROUND)):
            if self._known(bare) is not None:
                return bare
        try:
            found = object_in(reply, _KEYS)
        except RowError:
            lists = lists_in(reply) if self.n > 1 and "{" not in reply else []
            if len(lists) != 1:
                raise
            return lists[0]
        if len(found) > 1:
            raise RowError("its JSON object has labels and also label")
        [given] = found.values()
        return given

    def _label(self, said: str) -> str:
        if (label := self._known(said)) is not None:
            return label
        if self.available:
            shown = ", ".join(self.available[:_SHOWN]) + (", ..." if len(self.available) > _SHOWN else "")
            raise RowError(f"'{said}' is none of the labels {shown}")
        return said

    def _known(self, said: str) -> str | None:
        return said if said in self.exact else self.spelled.get(folded(said))

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the object that holds them."""
        label: dict[str, Any] = {"type": "string"}
        if self.available:
            label["enum"] = list(dict.fromkeys([*self.available, *self.default]))
        return schema_with({"labels": label if self.n == 1 else {"type": "array", "items": label}})
