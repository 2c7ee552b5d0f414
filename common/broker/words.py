"""What redis-py and servers say, understood and put into words."""

from __future__ import annotations

import re


def is_forgotten(error: Exception) -> bool:
    """Is a stream's group gone, which was there? Of a script's commands each version says it in words of its own."""
    return "NOGROUP" in str(error)


def shown(word: str | bytes | int | float) -> str:
    """A word of a command, for a message."""
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def what_is_wrong(error: Exception) -> str:
    """With a broker's URL; never a part of its password."""
    text = str(error)
    if option := re.search("unexpected keyword argument ('.*')", text):
        return f"there is no option {option[1]}"
    if "Port" in text:  # redis quotes what it took for a port: part of a password that has a slash in it
        return "its port is not a number up to 65535 (in a password, write / as %2F, # as %23, ? as %3F)"
    return text
