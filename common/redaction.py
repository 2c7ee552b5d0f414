"""Commands and messages as they may be shown and kept: without passwords, keys and tokens."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import unquote

from common.broker.shown_url import HIDDEN, redact
from common.secret_marks import has_password, is_secret_header, is_secret_name, is_secret_setting, is_secret_value

# What is read may be a line of a megabyte: no pattern here starts over within a word that it has looked through.
_URL = re.compile(r"(?<![\w.+-])([\w.+-]*+)(:/{1,2})[^\s'\"]*[^\s'\".,;:)]")
_BROKERS = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})
_OPTION_NAME = re.compile(r"(?<=[?&;#])([^?&;#=\s]++)=")
_OPTION_VALUE = re.compile(r"[^&;\s'\"]+")
_ASSIGNMENT = re.compile(r"(-{0,2})([\w.-]+)([=:])(.*)", re.DOTALL)


def hide_passwords(text: str) -> str:
    """A message without the passwords of URLs that stand in it."""
    return _URL.sub(_shown_url, text)


def _shown_url(found: re.Match[str]) -> str:
    url, scheme = found[0], found[1]
    if scheme.lower() in _BROKERS:
        return redact(url)
    _, at, rest = url.rpartition("@")
    return "".join(_shown_options(f"{scheme}{found[2]}{HIDDEN}@{rest}" if at else url))


def _shown_options(url: str) -> Iterator[str]:
    shown = 0
    while named := _OPTION_NAME.search(url, shown):
        yield url[shown : named.end()]
        shown = named.end()
        if is_secret_name(unquote(named[1])) and (value := _OPTION_VALUE.match(url, shown)):
            yield HIDDEN
            shown = value.end()
    yield url[shown:]


def shown_command(words: Sequence[str], secrets: Collection[str] = ()) -> str:
    """A command line that goes on with a run, to be shown and kept: secrets in it are left for the user to fill in.

    Args:
        words: as they were typed, the program first.
        secrets: texts that are known to be secret.
    """
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    return shlex.join(_without(known, word) for word in _shown(words))


def _shown(words: Sequence[str]) -> Iterator[str]:
    option = ""
    for word in words:
        named = _ASSIGNMENT.fullmatch(word)
        if option == "--broker":
            yield redact(word)
        elif option and is_secret_name(option) and not word.startswith("--"):
            yield HIDDEN
        elif word.startswith("--broker="):
            yield f"--broker={redact(word.partition('=')[2])}"
        elif is_secret_value(word) or is_secret_header(word):
            yield f"{named[1]}{named[2]}{named[3]} {HIDDEN}" if named and is_secret_header(word) else HIDDEN
        elif (
            named
            and named[4]
            and (is_secret_setting(named[2].rpartition(".")[2], named[4]) or is_secret_value(named[4]))
        ):
            yield f"{named[1]}{named[2]}{named[3]}{HIDDEN}"
        elif has_password(word) or "://" in word:
            yield hide_passwords(word)
        else:
            yield word
        option = word if word.startswith("-") and "=" not in word else ""


def _without(secrets: Sequence[str], word: str) -> str:
    for secret in secrets:
        word = word.replace(secret, HIDDEN)
    return word
