"""TextGenerationToArgilla: instructions and generations, to be judged one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from common.cells import cell_of, words_of
from common.errors import RowError
from common.steps.argilla.base import ArgillaBase
from common.steps.argilla.server import Ask, Column
from common.steps.base import Row

_GOOD_OR_BAD = {
    "type": "label_selection",
    "options": [{"value": "bad", "text": "👎"}, {"value": "good", "text": "👍"}],
    "visible_options": None,
}


class TextGenerationToArgilla(ArgillaBase):
    """Pushes `instruction` and `generation` to a dataset in Argilla, where people say whether the generation is good.

    A list of generations becomes a record for each different one. The fields of the dataset are called as the columns
    of the rows, and its question is `quality`, `bad` or `good`. The dataset is created if it is missing; one that
    exists must have these fields and no other required one. Rows are passed on unchanged.

    The id of a record is a digest of its fields: a row that is pushed again, after a kill or by another run, finds its
    record, whose responses stay; so rows of equal content are one record. A server that is away is waited for. The key
    comes from `ARGILLA_API_KEY`.
    """

    _version: ClassVar[int] = 1

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generation"]

    @property
    def _fields(self) -> Sequence[Column]:
        return [Column(self._named("instruction")), Column(self._named("generation"))]

    @property
    def _questions(self) -> Sequence[Ask]:
        title = f"What's the quality of the {self._named('generation')} for the given {self._named('instruction')}?"
        return [Ask("quality", title, _GOOD_OR_BAD)]

    def _records_of(self, row: Row) -> list[dict[str, Any]]:
        fields = self._instruction(row)
        found = cell_of(row, "generation")
        if not isinstance(found, list):
            words_of(row, "generation")
            found = [found]
        texts = dict.fromkeys(words_of({"generation": one}, "generation") for one in found if one is not None)
        if not texts:
            raise RowError("column 'generation' holds no text")
        return [{"fields": {**fields, self._named("generation"): text}, "suggestions": {}} for text in texts]
