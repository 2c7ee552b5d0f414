"""Names that Kubernetes accepts, derived from the names of pipelines and steps."""

from __future__ import annotations

import hashlib
import re

LONGEST = 45
"""With a Deployment's suffix, a pod name stays below 63 characters: it is the host name, which tells GPUs apart."""
LONGEST_PIPELINE = 20
_DIGITS = 6


def dns_name(text: str, longest: int = LONGEST) -> str:
    """A DNS label (RFC 1035) for a text: the text itself if it is one, else a similar one with a digest of the text.

    Two texts never have the same label.

    Args:
        longest: most characters.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if name[:1].isalpha() else f"p-{name}".rstrip("-")
    if name == text and len(name) <= longest:
        return name
    digest = hashlib.blake2b(text.encode()).hexdigest()[:_DIGITS]
    return f"{name[: longest - _DIGITS - 1].rstrip('-')}-{digest}"
