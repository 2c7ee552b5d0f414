"""MinHashDedup: finds near-duplicates of earlier texts."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr

from common.cells import cell_of, text_of
from common.errors import RowError
from common.steps.base import GlobalStep, Row, StepInput, StepOutput
from common.steps.extras import check_installed, not_installed

if TYPE_CHECKING:
    from datasketch import MinHash

_WORD = re.compile(r"\w+|[^\w\s]")
_TOKENS = 10_000
"""Tokens hashed at a time: each takes memory for all permutations."""


class MinHashDedup(GlobalStep):
    """Adds `keep_row_after_minhash_filtering`: False if an earlier row has nearly the same `text`.

    Texts are compared by the share of their tokens that they have in common (Jaccard similarity), estimated with
    MinHash and locality-sensitive hashing: pairs far above `threshold` are found, pairs near it may be missed. Rows are
    marked, not dropped; of similar rows the first is kept. A text that is None is never a duplicate.

    It is a global step: the first row of several is found only by seeing all rows once, in order. Several workers would
    each remember some of the rows, and a worker restarted after a crash would remember none. Needs the package
    datasketch: `pip install "penstock[dedup]"`.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    num_perm: int = Field(default=128, ge=2, description="Permutations: more give a better estimate, and take longer.")
    seed: int = Field(default=1, ge=0, description="Seed of the permutations.")
    tokenizer: Literal["words", "ngrams"] = Field(
        default="words", description="Tokens: words and punctuation marks, or every n characters in a row."
    )
    n: int = Field(default=5, ge=1, description="Characters of an n-gram.")
    threshold: float = Field(default=0.9, ge=0, le=1, description="Least similarity at which texts are duplicates.")
    storage: Literal["dict", "disk"] = Field(
        default="dict", description="Where the hashes of earlier texts are kept: in memory, or in a temporary file."
    )

    _bands: int = PrivateAttr(default=0)
    _rows: int = PrivateAttr(default=0)
    _empty: MinHash | None = PrivateAttr(default=None)

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["keep_row_after_minhash_filtering"]

    def check_here(self) -> None:
        """Raises UsageError if datasketch is not installed."""
        check_installed("datasketch", "dedup")

    def load(self) -> None:
        """Raises UsageError if datasketch is not installed."""
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            raise not_installed("datasketch", "dedup", error) from None
        try:
            lsh = MinHashLSH(threshold=self.threshold, num_perm=self.num_perm)
        except ValueError:  # it refuses a single band, to which the highest thresholds lead
            self._bands, self._rows = 1, self.num_perm
        else:
            self._bands, self._rows = lsh.b, lsh.r
        self._empty = MinHash(num_perm=self.num_perm, seed=self.seed)

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields all rows, in order, each with its mark.

        Raises:
            RowError: a row has no `text`, or it is not text; this ends the run.
        """
        # Without a name it is a temporary file, deleted when it is closed.
        with closing(sqlite3.connect(":memory:" if self.storage == "dict" else "")) as seen:
            seen.execute("CREATE TABLE seen (band BLOB PRIMARY KEY) WITHOUT ROWID")
            yield [{**row, "keep_row_after_minhash_filtering": self._is_new(row, seen)} for row in inputs]

    def _is_new(self, row: Row, seen: sqlite3.Connection) -> bool:
        if cell_of(row, "text") is None:
            return True
        bands = self._bands_of(self._sketch(text_of(row, "text")))
        if any(seen.execute("SELECT 1 FROM seen WHERE band = ?", (band,)).fetchone() for band in bands):
            return False
        seen.executemany("INSERT INTO seen VALUES (?)", [(band,) for band in bands])
        return True

    def _sketch(self, text: str) -> MinHash:
        assert self._empty is not None, "call load() before processing rows"
        sketch = self._empty.copy()
        tokens = iter(self._tokens(text))
        while some := [token.encode() for token in islice(tokens, _TOKENS)]:
            sketch.update_batch(some)
        return sketch

    def _bands_of(self, sketch: MinHash) -> list[bytes]:
        """Texts count as duplicates if the hashes of one of their bands are equal; `threshold` sets the bands."""
        starts = range(0, self._bands * self._rows, self._rows)
        bands = [sketch.hashvalues[start : start + self._rows].tobytes() for start in starts]
        return [
            hashlib.blake2b(band, digest_size=16, salt=place.to_bytes(8)).digest() for place, band in enumerate(bands)
        ]

    def _tokens(self, text: str) -> Iterable[str]:
        if self.tokenizer == "words":
            return set(_WORD.findall(text))
        return {text[start : start + self.n] for start in range(max(len(text) - self.n, 0) + 1)}
