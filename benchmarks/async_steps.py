"""A step with a minimal client, so that the engine is measured, not an HTTP library."""

from __future__ import annotations

import asyncio

from pydantic import PrivateAttr

from penstock.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, Row


class LightClient:
    """Keeps connections alive and speaks just enough HTTP."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, text: str) -> int:
        """Sends a row; returns the bytes of the answer."""
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 16)
        )
        body = text.encode()
        writer.write(b"POST /row HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.rpartition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        answer = await reader.readexactly(length)
        self._idle.append((reader, writer))
        return len(answer)

    def close(self) -> None:
        """Closes what is open."""
        for _, writer in self._idle:
            writer.close()


class Rows(GeneratorStep):
    """Rows with a prompt that names their number."""

    rows: int = 1_000

    @property
    def outputs(self) -> list[str]:
        return ["id", "instruction"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            count = min(self.batch_size, self.rows - offset)
            rows = [{"id": n, "instruction": f"Say something about row {n}"} for n in range(offset, offset + count)]
            offset += count
            yield rows, offset >= self.rows


class Ask(AsyncStep):
    """Posts each row to the local server."""

    port: int

    _client: LightClient | None = PrivateAttr(default=None)

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    async def aload(self) -> None:
        self._client = LightClient(self.port)

    async def aunload(self) -> None:
        if self._client is not None:
            self._client.close()

    async def process_row(self, row: Row) -> Row:
        assert self._client is not None
        return {**row, "answer": await self._client.post(row["instruction"])}
