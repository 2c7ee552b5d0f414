"""Runs that read documents, and files by split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses
from tests.unit.steps.test_read_documents import pdf, write


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_a_run_has_the_chunks_of_all_documents_and_a_failed_row_for_each_that_is_damaged(harness: Harness) -> None:
    write(
        harness.folder / "library",
        a_txt="one two three",
        b_pdf=b"damaged",
        c__d_pdf=pdf("Four five.", Author="A. Weir"),
        e_html="<title>Six</title><p>six",
        f_txt=b"\xff",
    )
    spec = harness.write_spec(
        """
name: documents
steps:
  read: {type: ReadDocuments, path: library, chunk_size: 2, chunk_overlap: 1, chunk_unit: words, batch_size: 2}
"""
    )
    code, text = harness.run(spec)
    assert code == 3, text
    assert [(row["path"], row["chunk"], row["text"], row["title"], row["page"]) for row in harness.rows()] == [
        ("a.txt", 0, "one two", None, None),
        ("a.txt", 1, "two three", None, None),
        ("c/d.pdf", 0, "Four five.", None, 1),
        ("e.html", 0, "six", "Six", None),
    ]
    assert [row["metadata"]["author"] for row in harness.rows()] == [None, None, "A. Weir", None]
    letters = harness.letters()
    assert [letter.row for letter in letters] == [{"path": "b.pdf"}, {"path": "f.txt"}]
    assert "library/f.txt: it is not utf-8: " in letters[1].error
    code, text = harness.run(spec)
    assert code == 3, text
    assert "already complete" in text


def test_a_run_has_the_rows_of_one_split_of_files(harness: Harness) -> None:
    write(harness.folder / "data", a_csv="n,text\n1,one\n2,\n", b_csv="n,text\n3,three\n")
    spec = harness.write_spec(
        """
name: split
steps:
  load: {type: LoadDataFromFileSystem, data_files: {train: data/none.csv, test: [data/b.csv, data/a.csv]}, split: test}
"""
    )
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows() == [{"n": 3, "text": "three"}, {"n": 1, "text": "one"}, {"n": 2, "text": None}]
