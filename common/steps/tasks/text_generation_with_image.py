"""TextGenerationWithImage: a prompt and an image, and a language model's answer to both."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, ClassVar, Literal

from pydantic import Field

from common.cells import cell_of, kind_of
from common.errors import RowError
from common.llms.base import ChatMessage
from common.steps.base import Row, StepColumns
from common.steps.tasks.examples import Example
from common.steps.tasks.text_generation import TextGeneration


class TextGenerationWithImage(TextGeneration):
    """Sends the prompt of `TextGeneration` with the image in the column `image`, and adds `generation`.

    An image is a URL, a path below `media_folder`, bytes, or `{bytes: ..., path: ...}` as `datasets` has it, whatever
    `image_type` says of `url` and `PIL`; only `base64` is read as such. A row without an image, or with one that is
    missing or has more than 20,000,000 bytes, fails.
    """

    _version: ClassVar[int] = 1

    worked_examples = (
        Example(
            row={"instruction": "What is this?", "image": "https://example.com/bridge.png"},
            reply="A bridge over a river.",
            made={"generation": "A bridge over a river."},
        ),
    )

    image_type: Literal["url", "base64", "PIL"] = Field(
        default="url", description="base64: the column image holds the text of an encoded image; else see above."
    )

    @property
    def inputs(self) -> StepColumns:
        return dict.fromkeys([*self.columns, "image"], True)

    def format_input(self, row: Row, /) -> list[ChatMessage]:
        assert self._prompts is not None, "call load() before processing rows"
        image = cell_of(row, "image")
        if self.image_type == "base64":
            image = _decoded(image)
        parts: list[dict[str, Any]] = [
            {"type": "text", "text": self._prompts.text(row)},
            {"type": "image", "image": image},
        ]
        return [{"role": "user", "content": parts}]


def _decoded(image: Any) -> bytes:
    if not isinstance(image, str):
        raise RowError(f"column 'image' holds {kind_of(image)} where base64 is expected")
    try:
        return b64decode(image, validate=True)
    except ValueError as error:
        raise RowError(f"column 'image' is not base64: {error}") from None
