"""Replies as they are on the disk: compressed, with a digest, so that a damaged one is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import zstandard

DIGEST_BYTES = 8
_LEVEL = 3
_LARGEST = 1 << 30


class Values:
    """Packs in one thread and unpacks in another."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, replies: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """(digest, compressed) of each, compressed together while other threads run."""
        together = self._compressor.multi_compress_to_buffer(list(replies))
        packed = [together[place].tobytes() for place in range(len(together))]
        return [(_digest(each), each) for each in packed]

    def unpack(self, digest: bytes, packed: bytes) -> bytes | None:
        """None for a damaged value, which is treated as missing."""
        if _digest(packed) != digest:
            return None
        try:
            return bytes(self._decompressor.decompress(packed, max_output_size=_LARGEST))
        except zstandard.ZstdError:
            return None


def _digest(packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=DIGEST_BYTES).digest()
