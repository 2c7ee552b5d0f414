"""Two custom steps, used by `quickstart.yaml`: `mysteps:Normalize` and `mysteps:DropDuplicates`."""

from __future__ import annotations

import re
import unicodedata

from pydantic import Field

from penstock.steps import GlobalStep, Row, Step, StepInput, StepOutput

SINGLE, DOUBLE = "\u2018\u2019\u201a\u201b", "\u201c\u201d\u201e\u201f"
STRAIGHT = dict.fromkeys(map(ord, SINGLE), "'") | dict.fromkeys(map(ord, DOUBLE), '"')
NUMBERING = re.compile(r"^(?:\(?[0-9]{1,3}[.):]\s+)+")
APOSTROPHES = dict.fromkeys(map(ord, "'\u2019"), "")


class Normalize(Step):
    """Cleans the column `text`, row by row: white space, typographic quotes, leading numbering.

    To clean another column, map it: `input_mappings: {text: quote}`.
    """

    lowercase: bool = Field(default=False, description="Convert the text to lower case.")

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["text"]

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields as many rows as it is given, in order."""
        yield [{**row, "text": self.normalize(row["text"])} for row in inputs]

    def normalize(self, text: str) -> str:
        """Collapses white space, straightens quotes, and removes a leading "12. " or "(3) "."""
        text = " ".join(text.translate(STRAIGHT).split())
        text = NUMBERING.sub("", text)
        return text.lower() if self.lowercase else text


class DropDuplicates(GlobalStep):
    """Keeps the first of the rows with equal `columns`, in order.

    Texts that differ only in case, punctuation or white space are equal. A global step, because an equal row may be in
    any other batch.
    """

    columns: list[str] = Field(
        default_factory=lambda: ["text"], min_length=1, description="Columns that must all be equal."
    )

    @property
    def inputs(self) -> list[str]:
        return self.columns

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields the remaining rows: one pass, with one key in memory per kept row."""
        first: dict[tuple[str, ...], Row] = {}
        for row in inputs:
            first.setdefault(tuple(comparable(row[column]) for column in self.columns), row)
        yield list(first.values())


def comparable(value: object) -> str:
    """The key by which values are compared: the words of a text in any language, else the value's Python form."""
    if not isinstance(value, str):
        return repr(value)
    letters = (
        character if unicodedata.category(character)[0] in "LMNS" else " "
        for character in unicodedata.normalize("NFC", value.casefold()).translate(APOSTROPHES)
    )
    # The quotes keep the text "1" from equalling the number 1; a text of only punctuation is its own key.
    return f'"{" ".join("".join(letters).split()) or value}"'
