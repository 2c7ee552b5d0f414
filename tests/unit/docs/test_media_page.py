"""The spec of the page about images, against an endpoint on loopback."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from coordinator.plan.load import prepare
from tests.support.places import REPOSITORY
from tests.support.servers.chat_server import completion, serving

PAGE = (REPOSITORY / "docs" / "guides" / "media.md").read_text()
PNG = b"\x89PNG\r\n\x1a\n"


def test_the_spec_sends_the_picture_that_its_row_names(tmp_path: Path) -> None:
    (spec,) = re.findall(r"^```yaml \w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "spec.yaml").write_text(spec)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(PNG)

    async def one() -> Any:
        steps: Any = prepare(tmp_path / "spec.yaml").steps
        async with serving(lambda _: completion("a cat")) as chat:
            step = steps["caption"]
            step.llm = step.llm.model_copy(update={"base_url": chat.url})
            step.load()
            await step.aload()
            try:
                return await step.process_row(steps["load"].data[0]), chat.requests[0][2]
            finally:
                await step.aunload()

    row, request = asyncio.run(one())
    assert row["generation"] == "a cat"
    text, image = request["messages"][0]["content"]
    assert text["text"] == "What is in this picture?"
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_the_page_names_the_limit_of_a_file() -> None:
    from common.llms.media.parts import MOST_BYTES

    assert f"{MOST_BYTES:,} bytes" in PAGE
