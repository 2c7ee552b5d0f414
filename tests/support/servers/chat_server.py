"""A chat endpoint on loopback that answers as a test sets it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: text as it is, anything else as JSON."""


@dataclass
class ChatServer:
    """An endpoint that gives `answer` to each request, and remembers what it was asked."""

    answer: Callable[[dict[str, Any]], Answer]
    url: str = ""
    delay: float = 0.0
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request_line := (await reader.readline()).decode():
                headers = {}
                while line := (await reader.readline()).decode().strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.requests.append((request_line.split()[1], headers, body))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                await asyncio.sleep(self.delay)
                self.in_flight -= 1
                status, extra, content = self.answer(body)
                kind = "text/html" if isinstance(content, str) else "application/json"
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                head = {"content-type": kind, "content-length": str(len(data)), **extra}
                lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Callable[[dict[str, Any]], Answer], delay: float = 0.0) -> AsyncIterator[ChatServer]:
    chat = ChatServer(answer, delay=delay)
    server = await asyncio.start_server(chat.serve, "127.0.0.1", 0)
    chat.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield chat
    finally:
        server.close()


class Endpoint:
    """A chat endpoint in a thread, which a test can take away and bring back at the same port.

    Args:
        answer: gives the answer to each request; replaced at will.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Answer], delay: float = 0.0) -> None:
        self.chat = ChatServer(answer, delay=delay)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Listens, at the port of before if there was one."""
        self._call(self._start())

    def stop(self) -> None:
        """Refuses connections, and resets those that are open."""
        self._call(self._stop())

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self.chat.serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def close(self) -> None:
        """Ends the thread."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def endpoint(answer: Callable[[dict[str, Any]], Answer], delay: float = 0.0) -> Iterator[Endpoint]:
    """An endpoint that listens."""
    found = Endpoint(answer, delay)
    found.start()
    try:
        yield found
    finally:
        found.close()


def completion(content: str | None, finish_reason: str = "stop") -> Answer:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return 200, {}, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def echoed(body: dict[str, Any]) -> Answer:
    return completion(f"answer to {body['messages'][-1]['content']}")
