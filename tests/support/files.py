"""Files as tests write and read them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import zstandard

from common.steps import LoadDataFromFile
from common.steps.base import Row


def load(path: Path | str | list[str], offset: int = 0, **options: Any) -> list[Row]:
    step = LoadDataFromFile(name="load", path=str(path) if isinstance(path, Path) else path, batch_size=5, **options)
    return [row for rows, _ in step.process(offset) for row in rows]


def compress(name: str, data: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])
    if name.endswith(".zst"):
        halves = (data[: len(data) // 2], data[len(data) // 2 :])
        return b"".join(zstandard.ZstdCompressor().compress(half) for half in halves)
    return data
