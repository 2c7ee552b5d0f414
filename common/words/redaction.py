"""Messages without passwords, keys and tokens, safe to show and to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from common.words.secret_marks import is_secret_setting
from common.words.shown_url import HIDDEN, redact

# What is read may be a line of a megabyte: no pattern here starts over within a word that it has looked through, and a
# value is read only behind the name of a secret.
_URL = re.compile(r"(?<![\w.+-])([\w.+-]*+)(:/{1,2})[^\s'\"]*[^\s'\".,;:)]")
_BROKERS = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})
_OPTION = re.compile(r"(?<=[?&;#])([^?&;#=\s]++)=")
_OPTION_VALUE = re.compile(r"[^&;\s'\"]+")
_SETTING = re.compile(r"(?<![\w.-])([\w.-]++)[\\\"']*+\s*+[=:]\s*+")
"""As in YAML, JSON, a header or a command line."""
_SETTING_VALUE = re.compile(
    r"\"(?:[^\"\\]|\\.|\"\")++\"?|'(?:[^'\\]|\\.|'')++'?|(?:(?:Bearer|Basic|Token)\s+)?[^\s,;&\"'}\])]+",
    re.IGNORECASE | re.DOTALL,
)
_TO_THE_END = re.compile(r".+", re.DOTALL)


def hide_passwords(text: str) -> str:
    """A message without the passwords in its URLs."""
    return _URL.sub(_shown_url, text)


def hide_secrets(text: str) -> str:
    """The same, also without the values of names such as `api_key` or `Authorization`."""
    return hide_passwords("".join(_without_values(text, _SETTING, _SETTING_VALUE)))


def hide_to_the_end(text: str) -> str:
    """A user's text, cut after the first such name: a secret may contain any character."""
    return hide_passwords("".join(_without_values(text, _SETTING, _TO_THE_END)))


def _shown_url(found: re.Match[str]) -> str:
    url, scheme = found[0], found[1]
    if scheme.lower() in _BROKERS:
        return redact(url)
    _, at, rest = url.rpartition("@")
    shown = f"{scheme}{found[2]}{HIDDEN}@{rest}" if at else url
    return "".join(_without_values(shown, _OPTION, _OPTION_VALUE))


def _without_values(text: str, name: re.Pattern[str], value: re.Pattern[str]) -> Iterator[str]:
    """The text in pieces, with `***` instead of each value whose name is that of a secret."""
    shown = 0
    while named := name.search(text, shown):
        yield text[shown : named.end()]
        shown = named.end()
        last_word = unquote(named[1]).rpartition(".")[2]
        begins = text[shown : shown + 1]  # all that matters of the value
        if is_secret_setting(last_word, begins) and (given := value.match(text, shown)):
            yield HIDDEN
            shown = given.end()
    yield text[shown:]
