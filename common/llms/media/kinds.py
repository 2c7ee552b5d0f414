"""What kind of image, sound or document some bytes are. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from mimetypes import guess_type

_BEGINNINGS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"RIFF.{4}WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2]"), "audio/mpeg"),
    (re.compile(rb"fLaC"), "audio/flac"),
    (re.compile(rb"OggS"), "audio/ogg"),
    (re.compile(rb".{4}ftypM4A", re.DOTALL), "audio/mp4"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
_FORMATS = {"audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/x-wav": "wav", "audio/x-flac": "flac"}
_DATA_URL = re.compile(r"data:([\w.+/-]+)(?:;[\w=.-]+)*;base64,", re.IGNORECASE)


def media_type(data: bytes, name: str = "") -> str | None:
    """By how the bytes begin, else by the ending of the name. None if neither says."""
    for beginning, found in _BEGINNINGS:
        if beginning.match(data):
            return found
    return guess_type(name)[0] if name else None


def sound_format(kind: str) -> str:
    """What APIs call a kind of sound, such as `mp3` for audio/mpeg."""
    return _FORMATS.get(kind, kind.partition("/")[2])


def data_url(data: bytes, kind: str) -> str:
    """The bytes as a URL that holds them."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a data URL holds.

    Args:
        kind: such as image/png.
        data: base64.
    """

    kind: str
    data: str


def embedded_in(url: str) -> Embedded | None:
    """None for any other URL."""
    found = _DATA_URL.match(url)
    return Embedded(found[1].lower(), url[found.end() :]) if found else None
