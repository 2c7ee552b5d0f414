"""Prompts of rows, made from a template."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import RowError
from common.llms.base import ChatMessage
from common.steps.base import Row
from common.steps.tasks.conversation import conversation_of
from common.templates.prompt import PromptTemplate

_RENDERED_CHARACTERS = 1_000_000
"""A text that is the whole prompt needs no template up to here; beyond, the limits of templates apply."""
_ONLY_COLUMN = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}\s*")


@dataclass(frozen=True, slots=True)
class RowPrompts:
    """Makes the prompts of rows from a template.

    Args:
        columns: that the template uses.
        only_column: the one that is the whole template; empty if it is more.
    """

    template: PromptTemplate
    columns: list[str]
    only_column: str

    @classmethod
    def of(cls, template: str, columns: list[str]) -> RowPrompts:
        """Compiles a template."""
        only = _ONLY_COLUMN.fullmatch(template)
        return cls(PromptTemplate(template), columns, only[1] if only else "")

    def messages(self, row: Row) -> list[ChatMessage]:
        """The conversation: that in the only column, or a message with the prompt. Raises RowError: there is none."""
        conversation = row.get(self.only_column) if self.only_column else None
        if isinstance(conversation, list):
            column = self.only_column
            advice = f"; to print a list in the prompt, write {{{{ {column} | tojson }}}} in the template"
            return conversation_of(conversation, column, advice)
        return [{"role": "user", "content": self.text(row)}]

    def text(self, row: Row) -> str:
        """The prompt of a row. Raises RowError: none can be made."""
        alone = row.get(self.only_column) if self.only_column else None
        if isinstance(alone, str) and 0 < len(alone) < _RENDERED_CHARACTERS:
            return alone
        try:
            return self.template.render(row)
        except RowError as error:
            none = [name for name in self.columns if row.get(name) is None]
            raise RowError(f"{error}; None in this row: {none}" if none else str(error)) from None
        except Exception as error:  # a template may call and compute anything
            columns = ", ".join(map(repr, row))
            raise RowError(f"template: {error}; the row has the columns {columns or 'none'}") from None
