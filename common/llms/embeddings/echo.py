"""EchoEmbeddings: try a pipeline with embeddings without a model, a key or a network."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from common.llms.embeddings.base import Embeddings, Vector
from common.llms.messages import ChatMessage, text_in

_WORD = re.compile(r"\w+")


class EchoEmbeddings(Embeddings):
    """A stand-in that calls no model: texts with the same words have the same vector, those that share some are near.

    Each word adds one to, or takes one from, one of the `dimensions`, which its hash chooses; vectors have length 1.
    The vector depends on the text alone.
    """

    _version: ClassVar[int] = 1

    dimensions: int = Field(default=64, ge=1, description="Length of the vectors.")

    @property
    def model_name(self) -> str:
        return "echo"

    def encode(self, inputs: Sequence[str]) -> list[Vector]:
        """See `Embeddings`."""
        return [self._vector(text) for text in inputs]

    async def aencode(self, inputs: Sequence[str]) -> list[Vector]:
        """See `Embeddings`."""
        return self.encode(inputs)

    async def aencode_conversation(self, messages: Sequence[ChatMessage]) -> Vector:
        """See `Embeddings`; who says a word does not matter."""
        return self._vector("\n".join(text_in(message["content"]) for message in messages))

    def _vector(self, text: str) -> Vector:
        sums = [0] * self.dimensions
        for word in _WORD.findall(text.lower()):
            digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            sums[digest // 2 % self.dimensions] += 1 if digest % 2 else -1
        length = math.sqrt(sum(each * each for each in sums))
        if not length:  # no words, or words that cancel out
            return [1.0] + [0.0] * (self.dimensions - 1)
        return [each / length for each in sums]
