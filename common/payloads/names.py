"""Names of payloads in files: the batch that made them, a random part, and the digest of their content. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from common.protocol.step_name import STEP_NAME

_NAME = re.compile(rf"({STEP_NAME.pattern})" r"-(\d{1,16})-(\d{1,16})-[0-9a-f]{12}\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class PayloadName:
    """A parsed name.

    Args:
        step, seq, attempt: of the output batch.
        digest: of the bytes, so that the journal, which names the file, also determines its content.
    """

    step: str
    seq: int
    attempt: int
    digest: str


def make_name(step: str, seq: int, attempt: int, data: bytes) -> str:
    """A name that no other worker uses: two workers with the same batch never write the same file."""
    return f"{step}-{seq}-{attempt}-{secrets.token_hex(6)}.{digest_of(data)}"


def parse_name(name: str) -> PayloadName | None:
    """None for a name that `make_name` does not make."""
    found = _NAME.fullmatch(name)
    return PayloadName(found[1], int(found[2]), int(found[3]), found[4]) if found else None


def digest_of(data: bytes) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
