"""TruncateTextColumn: truncates texts to a number of characters, words or tokens."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from common.cells import cell_of, text_of
from common.errors import RowError, UsageError
from common.steps.base import Row, Step, StepInput, StepOutput

_WORD = re.compile(r"\S+")


class TruncateTextColumn(Step):
    """Truncates the texts of `column` to their first `max_length` characters, words or tokens.

    The rest is unchanged, spaces included; None stays None. White space separates words. Tokens are those of a
    tokenizer of the package `transformers`, without special tokens; a worker needs that package.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    column: str = Field(default="text", description="The column with the texts.")
    max_length: int = Field(default=8192, ge=1, description="Most characters, words or tokens of a text.")
    tokenizer: str | None = Field(
        default=None,
        description="What is counted: characters (null), words, or the tokens of a tokenizer on the hub or in a "
        "folder, such as gpt2.",
    )

    _tokenizer: Any = PrivateAttr(default=None)

    @property
    def inputs(self) -> list[str]:
        return [self.column]

    @property
    def outputs(self) -> list[str]:
        return [self.column]

    def load(self) -> None:
        """Loads the tokenizer, if there is one.

        Raises:
            UsageError: `transformers` is not installed, or there is no such tokenizer.
        """
        if self.tokenizer in (None, "characters", "words"):
            return
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise UsageError(
                f"step '{self.name}' counts the tokens of '{self.tokenizer}', which needs the package transformers "
                f"(pip install transformers): {error}"
            ) from None
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self.tokenizer)
        except (OSError, ValueError) as error:
            raise UsageError(f"step '{self.name}': cannot load the tokenizer '{self.tokenizer}': {error}") from None

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, self.column: self._truncated(row)} for row in inputs]

    def _truncated(self, row: Row) -> str | None:
        if cell_of(row, self.column) is None:
            return None
        text = text_of(row, self.column)
        if self._tokenizer is not None:
            return self._cut_to_tokens(text)
        return _cut_to_words(text, self.max_length) if self.tokenizer == "words" else text[: self.max_length]

    def _cut_to_tokens(self, text: str) -> str:
        fast = self._tokenizer.is_fast
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
        if len(encoded["input_ids"]) <= self.max_length:
            return text
        if not fast:
            return str(self._tokenizer.decode(encoded["input_ids"][: self.max_length]))
        offsets = encoded["offset_mapping"]
        # Some characters take several tokens, each of which spans the whole character.
        return text[: min(offsets[self.max_length - 1][1], offsets[self.max_length][0])]


def _cut_to_words(text: str, count: int) -> str:
    ends = [word.end() for word in islice(_WORD.finditer(text), count + 1)]
    return text if len(ends) <= count else text[: ends[count - 1]]
