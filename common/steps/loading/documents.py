"""ReadDocuments: texts, pages and papers in files, cut into chunks."""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator

from common.errors import RowError, RunError, UsageError
from common.steps.base import GeneratorStepOutput, Row
from common.steps.loading.document_formats import (
    DOCUMENT_READERS,
    DOCUMENT_SUFFIXES,
    PACKAGES,
    BadDocument,
    Document,
    Format,
    TextEncoding,
)
from common.steps.loading.encodings import Encoding
from common.steps.loading.file_loader import FileLoader
from common.steps.loading.file_readers import MAX_ROW_BYTES
from common.steps.loading.file_sources import DamagedData, FileSource, format_suffix
from common.steps.loading.found_files import FoundFiles, find_wanted, shared_folder, shown_counts
from common.steps.loading.text_chunks import Unit, split_text
from common.words.faults import hint

_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, DamagedData)


class ReadDocuments(FileLoader):
    """Yields the texts of documents in chunks: plain text, Markdown, HTML and PDF, in files, folders or at URLs.

    Documents come in the order of `path`, sorted by name within each folder or pattern. A chunk ends after a paragraph,
    a line, a sentence or a word where possible, and begins with the last words of the one before (`chunk_overlap`);
    white space around it is dropped. In folders, hidden files, links to folders and files with other suffixes are left
    out; the log counts the latter. Files may be compressed (`.gz`, `.zst`).

    A row has the `text` of a chunk, the `path` of its document below the folder that all of them share, its `title` or
    None, the number of the `chunk` from 0, how many `chunks` the document has, the `page` on which the chunk begins
    (from 1; None if the format has none), and `metadata`: `format`, `size` in bytes, `pages`, `author`, `language` and
    `created`, None if unknown. The title is the document's own, or its first heading. HTML becomes the text that a
    browser shows, and its declared encoding comes before `encoding`; Markdown stays as it is, without front matter; of
    a PDF, only the text layer is read.

    A document that is damaged, encrypted, without text, in another encoding or larger than `max_document_bytes` is a
    failed row, and the others come. A file that changes during the run halts it; other documents are another run. To
    resume, documents that were read before are read again, unread rows alone are yielded. HTML and PDF need packages:
    `pip install "penstock[documents]"`.
    """

    _version: ClassVar[int] = 1

    path_fields: ClassVar[tuple[str, ...]] = ("path",)
    outputs_of_the_data: ClassVar[bool] = False

    path: str | list[str] = Field(description="File, folder, pattern (*, ?, **) or fsspec URL, or a list of them.")
    format: Format | None = Field(
        default=None, description="Format of all files; by default from the suffix of each: .txt, .md, .html, .pdf."
    )
    recursive: bool = Field(default=True, description="Whether folders in a folder are read as well.")
    chunk_size: int | None = Field(
        default=2000, ge=1, description="Most characters or words of a chunk; null for whole documents."
    )
    chunk_overlap: int = Field(
        default=200, ge=0, description="Most characters or words that a chunk repeats of the one before."
    )
    chunk_unit: Unit = Field(
        default="characters", description="What is counted; words are separated by white space, in the text as well."
    )
    encoding: Encoding = Field(
        default="utf-8", description="Encoding of text, Markdown and HTML; a byte order mark is dropped."
    )
    fallback_encoding: Encoding | None = Field(
        default=None, description="Encoding of documents that are not `encoding`, such as latin-1; null: they fail."
    )
    max_document_bytes: int = Field(
        default=MAX_ROW_BYTES, gt=0, description="Most bytes of a document, decompressed; a larger one fails."
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the fsspec filesystem; credentials come from the environment."
    )

    _counts: dict[str, int] = PrivateAttr(default_factory=dict)
    """Rows of the documents read so far, by their paths."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self._paths:
            raise ValueError("path names no file")
        if self.chunk_size is not None and self.chunk_overlap >= self.chunk_size:
            raise ValueError(f"chunk_overlap ({self.chunk_overlap}) must be less than chunk_size ({self.chunk_size})")
        return self

    @property
    def outputs(self) -> list[str]:
        return ["text", "path", "title", "chunk", "chunks", "page", "metadata"]

    def check_here(self) -> None:
        """Raises UsageError: no document, an unknown format, or a missing package."""
        self._check(self._found())

    def load(self) -> None:
        """Finds a wrong path and a missing package before the first batch. Raises UsageError."""
        found = self._found()
        self._check(found)
        logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small fault of a file
        if found.left_out:
            self._logger.info("left out files that are not documents: %s", shown_counts(found.left_out))

    def fingerprint(self) -> str:
        """Digest of the documents, and of the paths in their rows. Raises UsageError if there are none."""
        folder = shared_folder(self._paths, self.storage_options)
        paths = "\n".join(_below(folder, state.path) for state in self.file_states().files)
        return hashlib.blake2b(f"{super().fingerprint()}\n{paths}".encode(), digest_size=16).hexdigest()

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        """Yields the rows from row `offset` on; a RowError is in the place of a document that cannot be read.

        Raises:
            UsageError: there is no document, or a package is missing.
            RunError: a file cannot be reached.
            FileChanged: a file has changed since the run began.
        """
        return super().process(offset)

    @property
    def _paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path

    def _found(self) -> FoundFiles:
        def is_document(path: str) -> bool:
            return self.format is not None or format_suffix(path) in DOCUMENT_SUFFIXES

        return find_wanted(self._paths, is_document, self.storage_options, "format", recursive=self.recursive)

    def _files(self) -> list[FileSource]:
        return self._found().files

    def _check(self, found: FoundFiles) -> None:
        for form in {self._format_of(source) for source in found.files}:
            module, package = PACKAGES.get(form, ("", ""))
            if module and find_spec(module) is None:
                raise UsageError(
                    f"step '{self.name}' needs the package {package} for {form}: pip install 'penstock[documents]'"
                )

    def _format_of(self, source: FileSource) -> Format:
        form = self.format or DOCUMENT_SUFFIXES.get(source.suffix)
        if form is None:
            near = hint(source.suffix, DOCUMENT_SUFFIXES, "known suffixes are") if source.suffix else ""
            raise UsageError(
                f"the name of '{source.shown}' does not show its format{near}; set format to txt, md, html or pdf"
            )
        return form

    def _rows(self, files: list[FileSource], offset: int) -> Iterator[Row | RowError]:
        folder = shared_folder(self._paths, self.storage_options)
        for source in files:
            count = self._counts.get(source.shown)
            if count is not None and count <= offset:
                offset -= count
                continue
            rows = self._rows_of(source, _below(folder, source.shown))
            self._counts[source.shown] = len(rows)
            yield from rows[offset:]
            offset = max(0, offset - len(rows))

    def _rows_of(self, source: FileSource, path: str) -> list[Row | RowError]:
        form = self._format_of(source)
        try:
            data = self._bytes(source)
            document = DOCUMENT_READERS[form](data, TextEncoding(self.encoding, self.fallback_encoding))
            chunks = self._chunks(document)
            if not chunks:
                pages = f" on its {len(document.pages)} pages; scanned pages need OCR first" if document.pages else ""
                raise BadDocument(f"it has no text{pages}")
        except BadDocument as error:
            return [RowError(f"{source.shown}: {error}", {"path": path})]
        about = {
            "format": form,
            "size": len(data),
            "pages": len(document.pages) or None,
            "author": document.author,
            "language": document.language,
            "created": document.created,
        }
        return [
            {
                "text": document.text[start:end],
                "path": path,
                "title": document.title,
                "chunk": number,
                "chunks": len(chunks),
                "page": bisect_right(document.pages, start) or None,
                "metadata": about,
            }
            for number, (start, end) in enumerate(chunks)
        ]

    def _bytes(self, source: FileSource) -> bytes:
        """All of a document. Raises BadDocument only after it was compared: it may have changed."""
        damage: Exception | None = None
        data = b""
        with source.open() as stream:
            try:
                data = stream.read(self.max_document_bytes + 1)
            except _DAMAGED as error:
                damage = error
            except OSError as error:
                raise RunError(f"{source.shown}: cannot be read: {error}") from None
        if damage is not None:
            raise BadDocument(f"it cannot be decompressed: {damage}")
        if len(data) > self.max_document_bytes:
            raise BadDocument(f"it has more than {self.max_document_bytes:,} bytes; set max_document_bytes")
        return data

    def _chunks(self, document: Document) -> list[tuple[int, int]]:
        """Where chunks begin and end, without white space around them."""
        text = document.text
        size = self.chunk_size
        cut = [(0, len(text))] if size is None else split_text(text, size, self.chunk_overlap, self.chunk_unit)
        found = []
        for start, end in cut:
            chunk = text[start:end]
            start, end = end - len(chunk.lstrip()), start + len(chunk.rstrip())
            if start < end:
                found.append((start, end))
        return found


def _below(folder: str, path: str) -> str:
    return path.removeprefix(f"{folder}/") if folder else path
