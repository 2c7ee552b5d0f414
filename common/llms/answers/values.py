"""Replies as they are on the disk: compressed, with a digest, so that a damaged one is noticed."""

from __future__ import annotations

import hashlib

import zstandard

_DIGEST_BYTES = 8
_LEVEL = 3
_LARGEST = 1 << 30


class Values:
    """Packs in one thread and unpacks in another."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, reply: bytes) -> tuple[bytes, bytes]:
        """(digest, compressed)."""
        packed = self._compressor.compress(reply)
        return _digest(packed), packed

    def unpack(self, digest: bytes, packed: bytes) -> bytes | None:
        """None for a damaged value, which is treated as missing."""
        if _digest(packed) != digest:
            return None
        try:
            return bytes(self._decompressor.decompress(packed, max_output_size=_LARGEST))
        except zstandard.ZstdError:
            return None


def _digest(packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=_DIGEST_BYTES).digest()
