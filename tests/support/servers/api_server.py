"""Endpoints on loopback that behave as their providers document: what a subclass adds is one API."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

KEY = "sk-secret-1234567890"


@dataclass(frozen=True)
class Asked:
    """A request."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """An event of a stream."""

    data: Any
    name: str = ""

    def encode(self) -> bytes:
        text = self.data if isinstance(self.data, str) else json.dumps(self.data)
        return (f"event: {self.name}\n" if self.name else "").encode() + f"data: {text}\n\n".encode()


class Refused(Exception):
    """An answer in place of a reply: an error, or anything else that is not of the API."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers
        super().__init__(status)


@dataclass
class ApiServer:
    """An endpoint that checks each request as its provider does, and answers it.

    Attributes:
        script: answers of the next requests, in place of those of the API: an error, or a reply.
        events_sent: of a stream, before it ends without its end; None for all.
        breaks: the connection is then closed in the middle, instead of in an orderly way.
        always_streams: whether it sends streams to those who have not asked for one, too.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: deque[Refused | dict[str, Any]] = field(default_factory=deque)
    events_sent: int | None = None
    breaks: bool = False
    always_streams: bool = False

    def check(self, asked: Asked) -> None:
        """Raises Refused for a request that the provider refuses."""

    def reply(self, asked: Asked) -> dict[str, Any]:
        """The whole reply."""
        raise NotImplementedError

    def events(self, reply: dict[str, Any]) -> Iterable[Event]:
        """The same as a stream."""
        raise NotImplementedError

    def add_routes(self, app: web.Application) -> None:
        """What it answers beside POST."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.path, dict(request.query), headers, await request.json())
        self.asked.append(asked)
        try:
            self.check(asked)
            reply = self.script.popleft() if self.script else self.reply(asked)
            if isinstance(reply, Refused):
                raise reply
        except Refused as refused:
            if isinstance(refused.body, str):
                return web.Response(status=refused.status, text=refused.body, headers=refused.headers)
            return web.json_response(refused.body, status=refused.status, headers=refused.headers)
        if not asked.body.get("stream") and not self.always_streams:
            return web.json_response(reply)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in list(self.events(reply))[: self.events_sent]:
            await response.write(event.encode())
        if self.breaks and request.transport is not None:
            request.transport.close()
        return response


Server = TypeVar("Server", bound=ApiServer)


@asynccontextmanager
async def serving_api(server: Server) -> AsyncIterator[Server]:
    """Serves it on a port of its own."""
    app = web.Application()
    app.router.add_post("/{path:.*}", server.handle)
    server.add_routes(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


def required(body: Mapping[str, Any], names: Iterable[str], refuse: Callable[[str], Refused]) -> None:
    """Raises for the first name that a body lacks."""
    for name in names:
        if name not in body:
            raise refuse(name)
