"""An OpenAI-compatible endpoint that misbehaves when told to: `python -m tests.chaos.endpoint_server PORT LOG`.

It notes what it does with each request in LOG, before it does it, so that no death of it loses a note. `POST /trouble`
begins a trouble. A row that has met an error or a reset connection meets none again: a row that did would be blamed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.servers.chat_server import completion

BUSY, BUSY_WITH_A_PAUSE, SLOW, ERRORS, RESETS = "busy", "busy with a pause", "slow", "errors", "resets"
ANSWERED, REFUSED = "answered", "refused"
LATENCY = 0.03
"""Seconds until an answer."""
SLOW_SECONDS = 0.7
"""Seconds that a slow answer takes longer."""
EVERY = 3
"""Of the rows asked during a trouble, every third one meets an error or a reset."""


class EndpointServer:
    """One process of the endpoint.

    Args:
        log: written by this process and those before it.
    """

    def __init__(self, log: Path) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        noted = [line.split(" ", 2) for line in log.read_text().splitlines()]
        self._hurt = {int(row) for _, row, what in noted if what in (ERRORS, RESETS)}
        self._trouble, self._until = "", 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                length = 0
                while header := (await reader.readline()).decode().strip().lower():
                    name, _, value = header.partition(":")
                    length = int(value) if name == "content-length" else length
                body = json.loads(await reader.readexactly(length))
                if b"/trouble" in line:
                    self._trouble, self._until = body["kind"], time.monotonic() + body["seconds"]
                    self._send(writer, 200, {}, {})
                else:
                    await self._answer(writer, int(body["messages"][-1]["content"].split()[-1]))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, row: int) -> None:
        trouble = self._trouble if time.monotonic() < self._until else ""
        if trouble in (BUSY, BUSY_WITH_A_PAUSE):
            self._note(row, REFUSED)
            pause = {"retry-after": "1"} if trouble == BUSY_WITH_A_PAUSE else {}
            self._send(writer, 429, pause, {"error": {"message": "Rate limit reached"}})
            return
        await asyncio.sleep(LATENCY + (SLOW_SECONDS if trouble == SLOW else 0))
        _, _, reply = completion(f"answer to row {row}")
        reply["usage"] = {"prompt_tokens": 100 + row, "completion_tokens": 1 + row % 7}
        if trouble in (ERRORS, RESETS) and row % EVERY == 0 and row not in self._hurt:
            self._hurt.add(row)
            self._note(row, trouble)
            if trouble == ERRORS:
                self._send(writer, 500, {}, {"error": {"message": "boom"}})
            else:
                self._break_off(writer, reply)
            return
        self._note(row, ANSWERED)
        self._send(writer, 200, {}, reply)

    def _note(self, row: int, what: str) -> None:
        os.write(self._file, f"{time.monotonic():.3f} {row} {what}\n".encode())

    def _send(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], content: Any) -> None:
        writer.write(_head(status, len(data := json.dumps(content).encode()), headers) + data)

    def _break_off(self, writer: asyncio.StreamWriter, content: Any) -> None:
        """Resets the connection in the middle of a reply."""
        data = json.dumps(content).encode()
        writer.write(_head(200, len(data), {}) + data[: len(data) // 2])
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


def _head(status: int, length: int, headers: dict[str, str]) -> bytes:
    lines = {"content-type": "application/json", "content-length": str(length), **headers}
    return (f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {it}\r\n" for name, it in lines.items()) + "\r\n").encode()


async def main(port: int, log: Path) -> None:
    """Serves until it is killed."""
    server = await asyncio.start_server(EndpointServer(log).serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
