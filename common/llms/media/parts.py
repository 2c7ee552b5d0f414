"""The parts of a row's messages, as a request has them: local files and bytes become data URLs.

A part is one of OpenAI's, or in short `{"type": "image", "image": SOURCE}`, with `audio` and `file` alike. A source is
a URL, a path below the step's `media_folder`, bytes, or what `datasets` has for an image or a sound, `{"bytes": ...,
"path": ...}`. `{"type": "image", "column": "photo"}` takes the source from a column of the row.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any

from common.cells import cell_of, kind_of
from common.errors import RowError
from common.llms.media.kinds import data_url, media_type, sound_format
from common.llms.messages import ChatMessage

MOST_BYTES = 20_000_000
"""Of one image, sound or file; endpoints take no more, and most less."""
_NAME_CHARACTERS = 200
_KINDS = ("image", "audio", "file")


def has_parts(messages: Sequence[ChatMessage]) -> bool:
    """Whether a message has another content than a text."""
    return any(isinstance(message["content"], list) for message in messages)


def with_media(messages: Sequence[ChatMessage], row: Mapping[str, Any], folder: str | None = None) -> list[ChatMessage]:
    """The messages as a request has them. Reads files.

    Args:
        folder: where local files are; None to refuse them.

    Raises:
        RowError: a part is none, or a file cannot be read, or is too large; names the part and the path.
    """
    found: list[Any] = []
    for number, message in enumerate(messages):
        content: Any = message["content"]
        if isinstance(content, list):
            content = [
                _Part(part, f"part {place} of message {number}", row, folder).sent()
                for place, part in enumerate(content)
            ]
        found.append({**message, "content": content})
    return found


def described(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages with texts alone: each image, sound and file in brackets, by its name or size."""
    return [{**message, "content": _described(message["content"])} for message in messages]


def _described(content: Any) -> str:
    if not isinstance(content, list):
        return str(content or "")
    return "\n".join(map(_words, content))


def _words(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return f"[{kind_of(part)}]"
    if isinstance(part.get("text"), str):
        return str(part["text"])
    kind = str(part.get("type"))
    if part.get("column") is not None:
        return f"[{kind} in column '{part['column']}']"
    source = part.get(kind)
    if isinstance(source, Mapping):
        source = source.get("url") or source.get("path") or source.get("filename") or source.get("bytes")
    if isinstance(source, bytes):
        return f"[{kind} of {len(source):,} bytes]"
    named = isinstance(source, str) and not source.startswith("data:")
    return f"[{kind} {source[:_NAME_CHARACTERS]}]" if named else f"[{kind}]"  # type: ignore[index]


class _Part:
    """A part of a message, and where it is."""

    def __init__(self, part: Any, where: str, row: Mapping[str, Any], folder: str | None) -> None:
        self._part = {"type": "text", "text": part} if isinstance(part, str) else part
        self._where = where
        self._row = row
        self._folder = folder

    def sent(self) -> dict[str, Any]:
        """In OpenAI's words."""
        if not isinstance(self._part, dict) or not isinstance(self._part.get("type"), str):
            raise self._error(f"is {kind_of(self._part)} where a mapping with a 'type' is expected")
        # Parquet gives every part the fields of all parts, None where one lacks a field.
        part = {name: value for name, value in self._part.items() if value is not None}
        kind = part["type"]
        if kind == "image_url":
            return self._image_url(part)
        if kind not in _KINDS:
            return self._as_it_is(part)
        if (
            kind == "file"
            and isinstance(given := part.get("file"), Mapping)
            and {"file_data", "file_id"} & given.keys()
        ):
            return self._as_it_is(part)
        source = cell_of(self._row, str(part["column"])) if "column" in part else part.get(kind)
        return self._medium(kind, source, {name: part[name] for name in ("detail",) if name in part})

    def _image_url(self, part: Mapping[str, Any]) -> dict[str, Any]:
        given = part.get("image_url")
        is_mapping = isinstance(given, Mapping) and "url" in given
        source = given["url"] if is_mapping else given  # type: ignore[index]
        more = {name: value for name, value in given.items() if value is not None} if is_mapping else {}  # type: ignore[union-attr]
        return self._medium("image", source, more)

    def _as_it_is(self, part: dict[str, Any]) -> dict[str, Any]:
        inner = part.get(part["type"])
        if not isinstance(inner, Mapping):
            return part
        return {**part, part["type"]: {name: _plain(value) for name, value in inner.items() if value is not None}}

    def _medium(self, kind: str, source: Any, more: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(source, str) and source.startswith(("https://", "http://", "data:")):
            if kind == "image":
                return {"type": "image_url", "image_url": {**more, "url": source}}
            if kind == "audio" or not source.startswith("data:"):
                raise self._error(f"is a URL; an endpoint takes {kind} by a path or bytes alone")
            return {"type": "file", "file": {"filename": "file", "file_data": source}}
        data, name = self._bytes(source, kind)
        found = media_type(data, name)
        if kind == "file":
            url = data_url(data, found or "application/octet-stream")
            return {"type": "file", "file": {"filename": Path(name).name or "file", "file_data": url}}
        if found is None or not found.startswith(f"{kind}/"):
            named = f"'{name}'" if name else f"of {len(data):,} bytes"
            raise self._error(f"{named} is not {'an image' if kind == 'image' else 'audio'} of a known kind")
        if kind == "audio":
            sound = {"data": b64encode(data).decode(), "format": sound_format(found)}
            return {"type": "input_audio", "input_audio": sound}
        return {"type": "image_url", "image_url": {**more, "url": data_url(data, found)}}

    def _bytes(self, source: Any, kind: str) -> tuple[bytes, str]:
        """(bytes, name) of a source."""
        name = ""
        if isinstance(source, Mapping):
            name = str(source.get("path") or "")
            source = source.get("bytes") if source.get("bytes") is not None else source.get("path")
        if isinstance(source, str) and source:
            return self._read(source), source
        if not isinstance(source, bytes):
            raise self._error(
                f"has {kind_of(source)} as its {kind}, where a URL, a path, bytes or {{'bytes': ..., 'path': ...}} is "
                "expected"
            )
        if len(source) > MOST_BYTES:
            raise self._too_large(name or f"its {kind}", len(source))
        return source, name

    def _read(self, path: str) -> bytes:
        if self._folder is None:
            raise self._error(f"names the file '{path}': set media_folder of the step to the folder that has it")
        try:
            folder = Path(self._folder).resolve()
            found = (folder / path).resolve()
            if not found.is_relative_to(folder):
                raise self._error(f"names the file '{path}', which is not below media_folder, {folder}")
            status = found.stat()
            if not S_ISREG(status.st_mode):
                raise self._error(f"names '{found}', which is not a file")
            if status.st_size > MOST_BYTES:
                raise self._too_large(f"'{found}'", status.st_size)
            return found.read_bytes()
        except (OSError, ValueError, RuntimeError) as error:
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else error
            raise self._error(f"names the file '{path}', which cannot be read from {self._folder}: {why}") from None

    def _too_large(self, what: str, size: int) -> RowError:
        return self._error(f"is too large: {what} has {size:,} bytes, and at most {MOST_BYTES:,} are sent")

    def _error(self, problem: str) -> RowError:
        return RowError(f"{self._where} {problem}")


def _plain(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else value
