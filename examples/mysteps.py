"""Two steps of one's own, as `quickstart.yaml` uses them: `mysteps:Normalize` and `mysteps:DropDuplicates`."""

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
    """Tidies the column `text`, row by row: white space, typographic quotes, numbering in front.

    To tidy another column, map it: `input_mappings: {text: quote}`.
    """

    lowercase: bool = Field(default=False, description="Write the text in lower case.")

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["text"]

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields as many rows as it is given, in their order."""
        yield [{**row, "text": self.normalize(row["text"])} for row in inputs]

    def normalize(self, text: str) -> str:
        """White space becomes single spaces, quotes become ' and ", and a leading "12. " or "(3) " goes."""
        text = " ".join(text.translate(STRAIGHT).split())
        text = NUMBERING.sub("", text)
        return text.lower() if self.lowercase else text


class DropDuplicates(GlobalStep):
    """Keeps the first of the rows whose `columns` say the same, in their order.

    Texts that differ only in case, punctuation or white space say the same. A global step, because an equal row may
    be in any other batch.
    """

    columns: list[str] = Field(
        default_factory=lambda: ["text"], min_length=1, description="Columns that must all be equal."
    )

    @property
    def inputs(self) -> list[str]:
        return self.columns

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields the rows that are left: one look at each row, one key in memory for each that is kept."""
        first: dict[tuple[str, ...], Row] = {}
        for row in inputs:
            first.setdefault(tuple(comparable(row[column]) for column in self.columns), row)
        yield list(first.values())


def comparable(value: object) -> str:
    """What two values are compared by: text by its words in any language, anything else by its Python form."""
    if not isinstance(value, str):
        return repr(value)
    letters = (
        character if unicodedata.category(character)[0] in "LMNS" else " "
        for character in unicodedata.normalize("NFC", value.casefold()).translate(APOSTROPHES)
    )
    # The quotes keep the text "1" from being equal to the number 1; a text of punctuation alone stands for itself.
    return f'"{" ".join("".join(letters).split()) or value}"'
