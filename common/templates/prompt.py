"""A prompt template: checked when read, rendered row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from common.cells import kind_of
from common.errors import RowError
from common.templates.budget import TemplateTooLarge

MOST_TEXT = 1_000_000
"""Most characters of a template."""
MOST_TAGS = 5_000
"""Most tags of a template; they take some seconds to compile."""


class PromptTemplate:
    """Jinja2, sandboxed and bounded.

    Raises:
        ValueError: it is not a valid template, or too large; names the line.
    """

    def __init__(self, source: str) -> None:
        from jinja2 import TemplateSyntaxError

        from common.templates.environment import BoundedEnvironment

        if len(source) > MOST_TEXT or source.count("{{") + source.count("{%") > MOST_TAGS:
            raise ValueError(
                f"a template has at most {MOST_TEXT:,} characters and {MOST_TAGS:,} tags; loop over a column"
            )
        self._source = source
        self._environment = BoundedEnvironment(_as_text)
        try:
            self._template = self._environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
        except ValueError as error:  # a number of thousands of digits
            raise ValueError(f"a value in the template cannot be read: {str(error)[:200]}") from None
        except (RecursionError, SyntaxError, MemoryError):  # of Python's own compiler
            raise ValueError("the template is nested too deeply; write it flatter") from None

    @cached_property
    def columns(self) -> list[str]:
        """The columns that it uses, sorted."""
        from jinja2 import meta

        return sorted(meta.find_undeclared_variables(self._environment.parse(self._source)))

    def render(self, row: Mapping[str, Any]) -> str:
        """The prompt of a row.

        Raises:
            RowError: it prints something other than text, makes a forbidden call, makes more than TEXT characters or
                takes more than STEPS steps.
            Exception: any error of the template's own operations.
        """
        self._environment.budget.start(row)
        try:
            return self._template.render(row)
        except RecursionError:
            raise TemplateTooLarge(
                "template: its macros and loops call themselves too deeply for this row; let them end sooner"
            ) from None
        finally:
            self._environment.budget.end()


def _as_text(value: Any) -> Any:
    """A template prints only text: None or [{'role': ...}] does not belong in a prompt."""
    if value is None:
        raise RowError('template would print None; write {{ column or "" }} where a column may be None')
    if isinstance(value, dict | list | tuple | set | bytes | range | Iterator):
        raise RowError(
            f"template would print {kind_of(value)} as Python writes it; write {{{{ column | tojson }}}}, or make text "
            "of it with a loop or {{ column | join }}; a list of messages alone is sent as the conversation"
        )
    return value
