"""ReadDocuments: which files, the text and title of each format, chunks, and documents that cannot be read."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from common.errors import FileChanged, RowError, UsageError
from common.steps import ReadDocuments
from common.steps.base import Row
from common.steps.loading.file_sources import FileSource
from tests.support.files import compress


def step(path: Path | str | list[str], **options: Any) -> ReadDocuments:
    path = str(path) if isinstance(path, Path) else path
    return ReadDocuments(name="read", path=path, **{"batch_size": 5, "chunk_size": None, **options})


def read(path: Path | str | list[str], offset: int = 0, **options: Any) -> list[Row | RowError]:
    reader = step(path, **options)
    reader.load()
    return [row for rows, _ in reader.process(offset) for row in rows]


def rows(path: Path | str | list[str], **options: Any) -> list[Row]:
    return [row for row in read(path, **options) if isinstance(row, dict)]


def texts(path: Path | str | list[str], **options: Any) -> list[tuple[str, str]]:
    return [(row["path"], row["text"]) for row in rows(path, **options)]


def errors(path: Path | str | list[str], **options: Any) -> list[str]:
    return [str(row) for row in read(path, **options) if isinstance(row, RowError)]


def write(folder: Path, **files: str | bytes) -> Path:
    """Writes files whose names have `_` for a dot and `__` for a slash."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def pdf(*pages: str, password: str | None = None, **facts: str) -> bytes:
    """A PDF with a line of text on each page; an empty page has none."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(612, 792)
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        fonts = DictionaryObject(
            {NameObject("/F1"): DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})}
        )
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    writer.add_metadata({f"/{name}": value for name, value in facts.items()})
    if password is not None:
        writer.encrypt(password, owner_password="owner", algorithm="AES-256")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def test_a_row_says_where_its_text_is_from(tmp_path: Path) -> None:
    write(
        tmp_path,
        sub__paper_pdf=pdf("One.", "Two.", Title="On dams", Author="A. Weir", CreationDate="D:20260102030405Z"),
    )
    assert rows(tmp_path, chunk_size=6, chunk_overlap=0) == [
        {
            "text": text,
            "path": "sub/paper.pdf",
            "title": "On dams",
            "chunk": number,
            "chunks": 2,
            "page": number + 1,
            "metadata": {
                "format": "pdf",
                "size": (tmp_path / "sub/paper.pdf").stat().st_size,
                "pages": 2,
                "author": "A. Weir",
                "language": None,
                "created": "2026-01-02T03:04:05+00:00",
            },
        }
        for number, text in enumerate(("One.", "Two."))
    ]
    assert set(step(tmp_path).outputs) == set(rows(tmp_path)[0])


def test_a_folder_gives_its_documents_sorted_without_hidden_and_other_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        b__a_txt="3",
        b__z_md="4",
        a_txt="1",
        B_txt="0",
        c_png="no",
        _hidden__d_txt="no",
        e_txt_gz=compress("e.gz", b"5"),
    )
    (tmp_path / "b" / ".x.txt").write_text("no")
    assert texts(tmp_path) == [("B.txt", "0"), ("a.txt", "1"), ("b/a.txt", "3"), ("b/z.md", "4"), ("e.txt.gz", "5")]
    assert texts(tmp_path, recursive=False) == [("B.txt", "0"), ("a.txt", "1"), ("e.txt.gz", "5")]
    assert texts(str(tmp_path / "b/[!.]*")) == [("a.txt", "3"), ("z.md", "4")]
    assert texts([str(tmp_path / "b"), str(tmp_path / "*.txt")])[:2] == [("b/a.txt", "3"), ("b/z.md", "4")]
    assert texts(tmp_path / "b" / "a.txt") == [("a.txt", "3")]


def test_other_filesystems_have_folders_as_well() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/shelf/a.txt": b"1", "/shelf/deep/b.txt": b"2", "/shelf/.hidden/c.txt": b"no"})
    assert texts("memory://shelf") == [("a.txt", "1"), ("deep/b.txt", "2")]
    assert texts("memory://shelf", recursive=False) == [("a.txt", "1")]


def test_links_to_files_are_read_and_links_to_folders_are_not(tmp_path: Path) -> None:
    write(tmp_path, docs__a_txt="1", else__b_txt="2")
    (tmp_path / "docs" / "round").symlink_to(tmp_path / "docs")
    (tmp_path / "docs" / "z.txt").symlink_to(tmp_path / "else" / "b.txt")
    assert texts(tmp_path / "docs") == [("a.txt", "1"), ("z.txt", "2")]
    (tmp_path / "docs" / "lost.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"lost\.txt is a link to a file that is missing"):
        read(tmp_path / "docs")


def test_a_path_without_documents_says_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, a_png="", b_png="", c_zip="")
    with pytest.raises(UsageError, match=r"no files to read in '.*'; there are \.png \(2\), \.zip \(1\); set format"):
        step(tmp_path).check_here()
    with pytest.raises(UsageError, match="known suffixes are"):
        step(tmp_path / "a.png").check_here()
    with pytest.raises(UsageError, match="missing"):
        step(tmp_path / "missing").check_here()
    assert texts(write(tmp_path / "one", readme="hello"), format="md") == [("readme", "hello")]


def test_a_missing_package_is_said_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.meta_path", [])
    monkeypatch.setattr(
        "sys.modules", {name: module for name, module in __import__("sys").modules.items() if "lxml" not in name}
    )
    with pytest.raises(UsageError, match=r"needs the package lxml for html: pip install 'penstock\[documents\]'"):
        step(write(tmp_path, a_html="<p>hi")).check_here()


HTML = """<!DOCTYPE html><html lang="en"><head><title> The
 weir </title><meta name="author" content="A. Weir"><style>p {}</style></head>
<body><nav><a href=x>Home</a></nav><h1>Weirs</h1><p>A weir is <b>not</b> a dam,<br>is it?<!-- no --></p>
<script>alert(1)</script><pre>def f():
    return 1</pre><ul><li>one <li>two</ul><table><tr><th>a<th>b<tr><td>1<td>2</table>caf&eacute;</body></html>"""


def test_html_becomes_the_text_that_a_browser_shows(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path, a_html=HTML))
    assert row["text"] == (
        "Home\n\nWeirs\n\nA weir is not a dam,\nis it?\n\ndef f():\n    return 1\n\none\ntwo\n\na\tb\n1\t2\n\ncafé"
    )
    assert (row["title"], row["metadata"]["author"], row["metadata"]["language"]) == ("The weir", "A. Weir", "en")


def test_html_that_is_nested_deeply_or_damaged_is_read(tmp_path: Path) -> None:
    write(tmp_path, a_html="<div>" * 1_000 + "de\0ep", b_html="<p>open <b>bold</i> &amp; <", c_html="<p>x<![if")
    assert texts(tmp_path)[:2] == [("a.html", "de\ufffdep"), ("b.html", "open bold & <")]
    (error,) = errors(write(tmp_path / "deeper", a_html="<div>" * 50_000 + "deep"))
    assert "a.html: it cannot be read as HTML to its end: Excessive depth" in error


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        ("", "“dé”".encode(), "“dé”"),
        ('<meta charset="iso-8859-1">', "“dé”".encode("cp1252"), "“dé”"),
        ('<meta charset="shift_jis">', "堰".encode("shift_jis"), "堰"),
        ('<meta charset="nonsense">', "堰".encode(), "堰"),
        ('<meta charset="ascii">', b"\x81 \xe9", None),
    ],
)
def test_html_is_read_in_the_encoding_that_it_declares(
    tmp_path: Path, declared: str, data: bytes, text: str | None
) -> None:
    write(tmp_path, a_html=declared.encode() + b"<p>" + data)
    found = [row["text"] for row in rows(tmp_path)]
    assert found == ([] if text is None else [text])


@pytest.mark.parametrize(
    ("text", "title", "shown"),
    [
        ("# A *weir*\n\ntext", "A *weir*", "# A *weir*\n\ntext"),
        ("```\n# no\n```\n\n## Yes ##\n", "Yes", "```\n# no\n```\n\n## Yes ##"),
        ("text\n\nA weir\n===\n", "A weir", "text\n\nA weir\n==="),
        ("---\ntitle: Weirs\nauthor: [A, B]\ndate: 2026-01-02\n---\n# No\n", "Weirs", "# No"),
        ("---\n\nnot: [\n\n---\n# Yes\n", "Yes", "---\n\nnot: [\n\n---\n# Yes"),
        ("#hashtag, no heading", None, "#hashtag, no heading"),
    ],
)
def test_markdown_stays_as_it_is_and_has_a_title(tmp_path: Path, text: str, title: str | None, shown: str) -> None:
    (row,) = rows(write(tmp_path, a_md=text))
    assert (row["title"], row["text"]) == (title, shown)
    if title == "Weirs":
        assert (row["metadata"]["author"], row["metadata"]["created"]) == ("A, B", "2026-01-02")


def test_a_byte_order_mark_is_dropped_and_lines_end_with_a_line_feed(tmp_path: Path) -> None:
    write(tmp_path, a_txt=b"\xef\xbb\xbfone\r\ntwo\rthree", b_txt=b"x")
    assert texts(tmp_path) == [("a.txt", "one\ntwo\nthree"), ("b.txt", "x")]
    write(tmp_path / "wide", a_txt="wïde".encode("utf-16"))
    assert texts(tmp_path / "wide", encoding="utf-16") == [("a.txt", "wïde")]


def test_another_encoding_fails_unless_a_fallback_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, a_txt="café".encode("latin-1"), b_txt="café")
    (error,) = errors(tmp_path)
    assert re.search(r"a\.txt: it is not utf-8: .*; set encoding, or fallback_encoding", error)
    assert texts(tmp_path) == [("b.txt", "café")]
    assert texts(tmp_path, fallback_encoding="latin-1") == [("a.txt", "café"), ("b.txt", "café")]


def test_documents_that_cannot_be_read_fail_each_and_the_others_come(tmp_path: Path) -> None:
    whole = pdf("Whole.")
    write(
        tmp_path,
        a_pdf=whole[: len(whole) // 3],
        b_pdf=pdf("Secret.", password="sesame"),
        c_pdf=pdf("Locked for changes.", password=""),
        d_pdf=pdf("", ""),
        e_txt="",
        f_md=" \n\n",
        g_txt_gz=compress("g.gz", b"hello" * 100)[:-20],
        h_txt_zst=b"no zstd",
        i_txt="x" * 200_000,
        j_pdf=b"",
        k_pdf=whole,
    )
    found = read(tmp_path, max_document_bytes=100_000)
    assert [row["text"] for row in found if isinstance(row, dict)] == ["Locked for changes.", "Whole."]
    said = [str(row).replace(f"{tmp_path}/", "") for row in found if isinstance(row, RowError)]
    for error, pattern in zip(
        said,
        [
            r"a\.pdf: it cannot be read as PDF: ",
            r"b\.pdf: it is encrypted, and opens with a password only",
            r"d\.pdf: it has no text on its 2 pages; scanned pages need OCR first",
            r"e\.txt: it has no text$",
            r"f\.md: it has no text$",
            r"g\.txt\.gz: it cannot be decompressed: ",
            r"h\.txt\.zst: it cannot be decompressed: damaged zstd data",
            r"i\.txt: it has more than 100,000 bytes; set max_document_bytes",
            r"j\.pdf: it cannot be read as PDF: ",
        ],
        strict=True,
    ):
        assert re.match(pattern, error), error
    assert next(row.columns for row in found if isinstance(row, RowError)) == {"path": "a.pdf"}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(offset=st.integers(0, 30))
def test_it_starts_at_any_row_also_behind_documents_that_fail(tmp_path: Path, offset: int) -> None:
    write(tmp_path, a_txt="one two three four", b_txt="", c_md="# five\n\nsix seven", d_pdf=b"no", e_txt="eight")
    options = {"chunk_size": 1, "chunk_unit": "words", "chunk_overlap": 0}
    found = read(tmp_path, **options)
    assert [row["text"] if isinstance(row, dict) else None for row in found] == (
        ["one", "two", "three", "four", None, "#", "five", "six", "seven", None, "eight"]
    )
    shown = [str(row) for row in found]
    assert [str(row) for row in read(tmp_path, offset, **options)] == shown[offset:]
    reader = step(tmp_path, **options)
    for _ in range(2):  # the second time it knows how many rows each document has
        assert [str(row) for some, _ in reader.process(offset) for row in some] == shown[offset:]


@pytest.mark.parametrize("meanwhile", ["damaged", "whole"])
def test_a_document_that_changes_while_it_is_read_halts_the_run(tmp_path: Path, meanwhile: str) -> None:
    write(tmp_path, a_pdf=pdf("One."), b_pdf=pdf("Two."))
    reader = step(tmp_path, batch_size=1)
    reader.pin(step(tmp_path).snapshot())
    found = reader.process()
    write(tmp_path, b_pdf=b"damaged" if meanwhile == "damaged" else pdf("Others."))
    with pytest.raises(FileChanged, match=r"b\.pdf has changed"):
        list(found)


class Rewritten:
    """Watches a file that is rewritten while it is read."""

    @contextmanager
    def reading(self, source: FileSource) -> Iterator[None]:
        yield
        raise FileChanged(source.shown, "its last bytes differ")

    def tap(self, raw: BinaryIO) -> BinaryIO:
        return raw


@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.txt.gz", "a.txt.zst"])
def test_damage_that_is_a_change_is_not_taken_for_a_damaged_document(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff")
    source = FileSource(fsspec.filesystem("file"), str(tmp_path / name), Rewritten())
    with pytest.raises(FileChanged, match="its last bytes differ"):
        list(step(tmp_path)._rows([source], 0))


def test_other_documents_and_other_paths_are_another_run(tmp_path: Path) -> None:
    seen = {step(write(tmp_path, a__x_txt="1", b__y_txt="2")).fingerprint()}
    os.utime(tmp_path / "a" / "x.txt", (1, 1))
    assert step(tmp_path).fingerprint() in seen
    (tmp_path / "a").rename(tmp_path / "aa")
    seen.add(step(tmp_path).fingerprint())
    seen.add(step(write(tmp_path, b__y_txt="3")).fingerprint())
    assert len(seen) == 3


def test_an_overlap_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"chunk_overlap \(9\) must be less than chunk_size \(9\)"):
        step("a.txt", chunk_size=9, chunk_overlap=9)
    with pytest.raises(ValidationError, match="unknown encoding"):
        step("a.txt", fallback_encoding="klingon")
