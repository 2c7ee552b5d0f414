"""The names of text encodings, as users give them."""

from __future__ import annotations

import codecs
from typing import Annotated

from pydantic import AfterValidator


def _known(encoding: str) -> str:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError("unknown encoding; common ones are utf-8, latin-1, cp1252, utf-16") from None
    return encoding


Encoding = Annotated[str, AfterValidator(_known)]
"""The name of an encoding that Python knows."""
