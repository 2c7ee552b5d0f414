"""Names that Kubernetes takes, made of the names of pipelines and steps."""

from __future__ import annotations

import hashlib
import re

LONGEST = 45
"""With what a Deployment appends, a pod's name stays below 63 characters: its host name, which tells GPUs apart."""
LONGEST_PIPELINE = 20
_DIGITS = 6


def dns_name(text: str, longest: int = LONGEST) -> str:
    """A label of DNS (RFC 1035) for a text: the text itself where it is one, else a similar one with a digest of it.

    Two texts never have the same one.

    Args:
        longest: characters.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if name[:1].isalpha() else f"p-{name}".rstrip("-")
    if name == text and len(name) <= longest:
        return name
    digest = hashlib.blake2b(text.encode()).hexdigest()[:_DIGITS]
    return f"{name[: longest - _DIGITS - 1].rstrip('-')}-{digest}"
