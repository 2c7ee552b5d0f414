"""A local HTTP server that answers after a set time, and notes when the first request came and the last answer left.

`POST /v1/chat/completions` is what the openai client calls; `POST /row` answers a few bytes. A row whose number, the
last word of the request's body, is a multiple of 20 is slow when a share of slow rows is asked for. A request without
a row, with which some clients look for limits or try the endpoint, is answered at once and not counted.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

COMPLETION = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "bench",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is so."}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
NUMBER = re.compile(rb"row (\d+)")


class RowServer:
    """Answers every request after `latency` seconds, or `slow` times that for one row in 20."""

    def __init__(self, latency: float, slow: float) -> None:
        self._latency = latency
        self._slow = slow
        self.requests = 0
        self.first = 0.0
        self.last = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive; `GET /times` returns and resets the times."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(await self._answer(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /times"):
            told = json.dumps({"requests": self.requests, "seconds": self.last - self.first}).encode()
            self.requests, self.first = 0, 0.0
            return _response(told)
        if number := NUMBER.search(body):
            self.first = self.first or time.monotonic()
            await asyncio.sleep(self._latency * (self._slow if int(number[1]) % 20 == 0 else 1.0))
            self.requests += 1
            self.last = time.monotonic()
        return _response(json.dumps(COMPLETION).encode() if b"/chat/" in head.split(b"\r\n", 1)[0] else b'{"ok":1}')


def _response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main(latency: float, slow: float) -> None:
    """Serves until killed; prints its port first."""
    server = RowServer(latency, slow)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
