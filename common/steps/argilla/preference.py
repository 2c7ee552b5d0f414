"""PreferenceToArgilla: an instruction and its generations side by side, to be rated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from common.cells import list_of, words_of
from common.errors import RowError
from common.steps.argilla.base import ArgillaBase
from common.steps.argilla.server import Ask, Column
from common.steps.base import Row

_RATINGS = (1, 2, 3, 4, 5)
_IF_THERE = "Ignore this question if the record has no {field}."


class PreferenceToArgilla(ArgillaBase):
    """Pushes `instruction` and `generations` to a dataset in Argilla, where people rate each generation from 1 to 5.

    A row is one record, with the fields `generations-0`, `generations-1` and so on, called as the column of the rows;
    one with fewer than `num_generations` leaves the others empty, and one with more fails. For each generation there is
    a question for its rating and one for the rationale; the columns `ratings` and `rationales`, which `UltraFeedback`
    makes and rows may lack, are suggested as answers. A rating that is not a whole number from 1 to 5 is not suggested,
    and the log says so. The dataset is created if it is missing; one that exists must have these fields and questions,
    and no other required field. Rows are passed on unchanged.

    The id of a record is a digest of its fields: a row that is pushed again, after a kill or by another run, finds its
    record, whose responses stay; so rows of equal content are one record. A server that is away is waited for. The key
    comes from `ARGILLA_API_KEY`.
    """

    _version: ClassVar[int] = 1

    num_generations: int = Field(ge=1, description="Most generations of a row.")

    _warned: bool = PrivateAttr(default=False)

    @property
    def inputs(self) -> dict[str, bool]:
        return {"instruction": True, "generations": True, "ratings": False, "rationales": False}

    @property
    def _fields(self) -> Sequence[Column]:
        numbers = range(self.num_generations)
        return [Column(self._named("instruction")), *(Column(self._field(number), number == 0) for number in numbers)]

    @property
    def _questions(self) -> Sequence[Ask]:
        found = []
        for number in range(self.num_generations):
            field, about = self._field(number), None if number == 0 else _IF_THERE.format(field=self._field(number))
            rating = {"type": "rating", "options": [{"value": value} for value in _RATINGS]}
            text = {"type": "text", "use_markdown": False}
            found += [
                Ask(f"{field}-rating", f"Rate {field} given {self._named('instruction')}.", rating, number == 0, about),
                Ask(f"{field}-rationale", f"Why does {field} have this rating?", text, False, about),
            ]
        return found

    def _field(self, number: int) -> str:
        return f"{self._named('generations')}-{number}"

    def _records_of(self, row: Row) -> list[dict[str, Any]]:
        fields = self._instruction(row)
        generations = list_of(row, "generations")
        if not generations:
            raise RowError("column 'generations' is empty")
        if len(generations) > self.num_generations:
            raise RowError(
                f"column 'generations' has {len(generations)} texts; num_generations is {self.num_generations}"
            )
        suggestions: dict[str, Any] = {}
        answers = zip(*(self._padded(row, column) for column in ("ratings", "rationales")), strict=True)
        for number, (text, (rating, rationale)) in enumerate(zip(generations, answers, strict=False)):
            if text is None and number:
                continue
            field = self._field(number)
            fields[field] = words_of({f"generations[{number}]": text}, f"generations[{number}]")
            if (value := self._rating(rating)) is not None:
                suggestions[f"{field}-rating"] = value
            if isinstance(rationale, str) and rationale.strip():
                suggestions[f"{field}-rationale"] = rationale
        return [{"fields": fields, "suggestions": suggestions}]

    def _padded(self, row: Row, column: str) -> list[Any]:
        """What the row has of an optional list, with None for the rest."""
        found = [] if row.get(column) is None else list_of(row, column)
        return [*found, *[None] * self.num_generations][: self.num_generations]

    def _rating(self, rating: Any) -> int | None:
        """The rating to suggest; None if there is none."""
        if rating is None:
            return None
        try:
            value = float(rating)
        except (TypeError, ValueError):
            value = 0.0
        if value in _RATINGS:
            return int(value)
        if not self._warned:
            self._warned = True
            self._logger.warning("the rating %r is not a whole number from 1 to 5, so it is not suggested", rating)
        return None
