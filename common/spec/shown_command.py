"""A command line that resumes a run, safe to show and to keep: without secrets, however they were typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from common.errors import SpecError
from common.spec.secrets import holds_secret
from common.spec.yaml_source import YamlSource
from common.words.redaction import hide_passwords, hide_to_the_end
from common.words.secret_marks import is_secret_header, is_secret_name, is_secret_setting, is_secret_value
from common.words.shown_url import HIDDEN, redact

_ASSIGNMENT = re.compile(r"(-{0,2}([\w.-]+)([=:]))(.*)", re.DOTALL)
_STRUCTURED = re.compile(r"[\[{\n]|:\s")
_DEEPEST = 8
"""How many nested assignments are examined; `--set=ask.llm.api_key=x` has two."""


def shown_command(words: Sequence[str], secrets: Collection[str] = ()) -> str:
    """A command line, with `***` instead of anything that looks like a secret, for the user to fill in.

    Args:
        words: as typed, the program first.
        secrets: texts known to be secret.
    """
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    return shlex.join(_without(known, word) for word in _shown(words))


def _shown(words: Sequence[str]) -> Iterator[str]:
    option = ""
    for word in words:
        if option == "--broker":
            yield redact(word)
        elif option and is_secret_name(option) and not word.startswith("--"):
            yield HIDDEN
        elif word.startswith("--broker="):
            yield f"--broker={redact(word.partition('=')[2])}"
        else:
            yield _shown_word(word, option)
        option = word if word.startswith("-") and "=" not in word else ""


def _shown_word(word: str, option: str) -> str:
    shown, place = "", [option]
    for _ in range(_DEEPEST):
        named = _ASSIGNMENT.fullmatch(word)
        if is_secret_value(word) or (named is None and is_secret_header(word)):
            return shown + HIDDEN
        if named is None or not named[4]:
            break
        start, path, mark, value = named.groups()
        if is_secret_header(word):
            return f"{shown}{start} {HIDDEN}"
        if is_secret_setting(path.rpartition(".")[2], value):
            return f"{shown}{start}{HIDDEN}"
        if mark == ":":
            break
        shown, word = shown + start, value
        place += path.split(".")
    return shown + _shown_value(word, place)


def _shown_value(text: str, place: Sequence[str]) -> str:
    """Hides a whole mapping or list, in YAML or JSON, if a spec may not hold it at this place."""
    if _STRUCTURED.search(text):
        with suppress(SpecError):
            value = YamlSource.parse(text).data
            if isinstance(value, dict | list):
                return HIDDEN if holds_secret({place[-1]: value}, tuple(place[:-1])) else hide_passwords(text)
    return hide_to_the_end(text)


def _without(secrets: Sequence[str], word: str) -> str:
    for secret in secrets:
        word = word.replace(secret, HIDDEN)
    return word
