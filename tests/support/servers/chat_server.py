"""A chat endpoint on loopback that answers as a test sets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
        except ConnectionError:
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


def completion(content: str | None, finish_reason: str = "stop") -> Answer:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return 200, {}, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def echoed(body: dict[str, Any]) -> Answer:
    return completion(f"answer to {body['messages'][-1]['content']}")
