"""One reader per format of documents: its text, its title, and what it says about itself."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from common.errors import RowError, UsageError
from common.steps.loading.html_text import text_of

Format = Literal["txt", "md", "html", "pdf"]
DOCUMENT_SUFFIXES: dict[str, Format] = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
}
"""Suffix -> format."""
PACKAGES: dict[Format, tuple[str, str]] = {"html": ("lxml", "lxml"), "pdf": ("pypdf", "pypdf")}
"""Module and package that a format needs."""

_BOM = "\ufeff"
_CUT_OFF = frozenset({"ERR_RESOURCE_LIMIT", "ERR_INTERNAL_ERROR", "ERR_NO_MEMORY"})
"""Faults after which the parser drops the rest; it repairs all others."""
_HEAD_BYTES = 4096
_CHARSET = re.compile(rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
"""Where an HTML document, or one of XHTML, declares its encoding."""
_FRONT_MATTER = re.compile(r"---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")


class BadDocument(RowError):
    """The document has no text that can be read; says why, without its name."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    Args:
        title: None if it is not known.
        pages: where in the text each page begins; empty if the format has none.
        author: None if it is not known, as in the others.
        language: as the document names it, such as `en`.
        created: ISO 8601.
    """

    text: str
    title: str | None = None
    pages: tuple[int, ...] = ()
    author: str | None = None
    language: str | None = None
    created: str | None = None


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the bytes of a document become text.

    Args:
        name: of the encoding.
        fallback: of documents that have another one; None: they cannot be read.
    """

    name: str = "utf-8"
    fallback: str | None = None

    def decode(self, data: bytes, declared: str | None = None) -> str:
        """The text, without a byte order mark, its lines ended by a line feed.

        Args:
            declared: the encoding that the document itself names; it comes first.

        Raises:
            BadDocument: it has none of the encodings.
        """
        first: UnicodeError | None = None
        for encoding in filter(None, (declared, self.name, self.fallback)):
            try:
                text = data.decode(encoding)
            except UnicodeError as error:
                first = first or error
                continue
            return text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
        raise BadDocument(f"it is not {declared or self.name}: {first}; set encoding, or fallback_encoding")


def read_text(data: bytes, encoding: TextEncoding) -> Document:
    """A plain text."""
    return Document(encoding.decode(data))


def read_markdown(data: bytes, encoding: TextEncoding) -> Document:
    """A text in Markdown, as it is; its front matter is not part of the text."""
    text = encoding.decode(data)
    known: dict[str, Any] = {}
    if front := _FRONT_MATTER.match(text):
        known = _yaml(front["yaml"])
        text = text[front.end() :] if known else text
    title = _shown(known.get("title")) or next(_headings(text), None)
    language = _shown(known.get("lang") or known.get("language"))
    return Document(
        text, title, author=_shown(known.get("author")), language=language, created=_shown(known.get("date"))
    )


def read_html(data: bytes, encoding: TextEncoding) -> Document:
    """The text that a browser would show, blocks as paragraphs."""
    from lxml import etree

    text = encoding.decode(data, _declared(data)).replace("\0", "\ufffd")  # where the parser would end
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser) if text.strip() else None
    for fault in parser.error_log:
        if fault.type_name in _CUT_OFF:
            raise BadDocument(f"it cannot be read as HTML to its end: {fault.message}")
    if root is None:
        return Document("")
    named = {str(tag.get("name") or tag.get("property")).lower(): tag.get("content") for tag in root.iter("meta")}
    first = {name: next(root.iter(name), None) for name in ("title", "h1")}
    inside = {name: None if tag is None else "".join(tag.itertext()) for name, tag in first.items()}
    titles = (inside["title"], named.get("og:title"), inside["h1"])
    return Document(
        text_of(root),
        next(filter(None, map(_shown, titles)), None),
        author=_shown(named.get("author")),
        language=_shown(root.get("lang")),
        created=_shown(named.get("article:published_time") or named.get("date")),
    )


def read_pdf(data: bytes, _: TextEncoding) -> Document:
    """The text layer of a PDF, page after page."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    where = ""
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadDocument("it is encrypted, and opens with a password only; store it without one")
        text, pages = "", []
        for number, page in enumerate(reader.pages, start=1):
            where = f"page {number}: "
            pages.append(len(text))
            text += _without_surrogates(page.extract_text()) + "\n"
        return Document(text, pages=tuple(pages), **_pdf_facts(reader))
    except (BadDocument, MemoryError):
        raise
    except DependencyError as error:
        raise UsageError(f"an encrypted PDF: {error}; pip install 'penstock[documents]'") from None
    except Exception as error:  # a damaged file leads to any error
        raise BadDocument(f"{where}it cannot be read as PDF: {type(error).__name__}: {error}") from None


DOCUMENT_READERS: dict[Format, Callable[[bytes, TextEncoding], Document]] = {
    "txt": read_text,
    "md": read_markdown,
    "html": read_html,
    "pdf": read_pdf,
}


def _yaml(text: str) -> dict[str, Any]:
    """Empty if it is not a mapping."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _headings(text: str) -> Iterator[str]:
    fence = before = ""
    for line in text.split("\n"):
        if found := _FENCE.match(line):
            fence = "" if fence and found[1].startswith(fence) else fence or found[1]
        elif not fence:
            heading = _HEADING.fullmatch(line)
            if heading and heading["title"]:
                yield heading["title"]
            elif before.strip() and _UNDERLINE.fullmatch(line):
                yield before.strip()
        before = line


def _declared(data: bytes) -> str | None:
    """The encoding that an HTML document declares; None if it declares none, or one that Python does not know.

    Browsers take Latin-1 for its superset.
    """
    found = _CHARSET.search(data, 0, _HEAD_BYTES)
    if found is None:
        return None
    with suppress(LookupError):
        name = codecs.lookup(found[1].decode()).name
        return "cp1252" if name in ("iso8859-1", "ascii") else name
    return None


def _pdf_facts(reader: Any) -> dict[str, str | None]:
    """What a PDF says about itself; invalid values are unknown."""
    facts: dict[str, str | None] = {}
    for name, attribute in (("title", "title"), ("author", "author"), ("created", "creation_date")):
        facts[name] = None
        with suppress(Exception):
            facts[name] = _shown(getattr(reader.metadata, attribute, None))
    with suppress(Exception):
        facts["language"] = _shown(reader.root_object.get("/Lang"))
    return facts


def _shown(value: object) -> str | None:
    """A value as a text of one line; None if there is none."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(filter(None, map(_shown, value))) or None
    return (_without_surrogates(" ".join(str(value).split())) or None) if isinstance(value, str | int | float) else None


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
