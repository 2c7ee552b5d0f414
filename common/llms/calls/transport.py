"""HTTP to one endpoint: a request goes out, a whole reply comes back, or a fault that says how far it got."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_KEEP_ALIVE = 30.0
_DNS_SECONDS = 300
_SILENCE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""How the system looks after a connection on which nothing comes: asked after 15 s, dead after 30 s without a reply.

So a call does not wait for a long answer on a network that is gone, and routers do not forget the connection meanwhile.
The last one, in milliseconds, is the same for a request that is on its way. TCP_KEEPALIVE is macOS's TCP_KEEPIDLE.
"""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Args:
        connect: until a connection stands.
        first_byte: from the request to the first byte of the reply. Without streaming, a model's whole work.
        idle: between two pieces of a reply that has begun.
        total: of one call; None for no limit.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint sent.

    Args:
        headers: by their names, in upper or lower case.
        body: whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Fault(Exception):
    """No reply.

    Args:
        why: for people.
        reached: the request may have arrived, so that it may be the cause.
        broke: the connection ended before the reply did.
    """

    why: str
    reached: bool
    broke: bool = False

    def __str__(self) -> str:
        return self.why


class Transport:
    """Connections to one endpoint, as many as there are calls at a time, kept alive. For one event loop.

    Args:
        url: that all requests go to.
        headers: of every request.
        method: of HTTP; a GET is sent without a body.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeouts: Timeouts, method: str = "POST") -> None:
        self._url = url
        self._method = method
        self._proxy = _proxy_for(url)
        self._headers = dict(headers)
        self._timeouts = timeouts
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Opens no connection yet."""
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        # What is in flight is bounded by the step, so a limit here would only queue it.
        connector = TCPConnector(
            limit=0, ttl_dns_cache=_DNS_SECONDS, keepalive_timeout=_KEEP_ALIVE, socket_factory=_watched_socket
        )
        limits = ClientTimeout(
            total=None,
            sock_connect=self._timeouts.connect,
            sock_read=max(self._timeouts.first_byte, self._timeouts.idle),
        )
        self._session = ClientSession(
            connector=connector,
            timeout=limits,
            headers=self._headers,
            cookie_jar=DummyCookieJar(),
            auto_decompress=True,
        )

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, body: bytes) -> Reply:
        """Sends JSON.

        Raises:
            Fault: no whole reply came.
        """
        if self._timeouts.total is None:
            return await self._post(body)
        try:
            async with asyncio.timeout(self._timeouts.total):
                return await self._post(body)
        except TimeoutError:
            raise Fault(f"no answer within {self._timeouts.total:g} s (timeout)", reached=True) from None

    async def _post(self, body: bytes) -> Reply:
        import aiohttp

        assert self._session is not None, "open() comes first"
        first = self._timeouts.first_byte
        try:
            sent = None if self._method == "GET" else body
            async with self._session.request(self._method, self._url, data=sent, proxy=self._proxy) as response:
                return Reply(response.status, response.headers, await self._read(response))
        except aiohttp.ConnectionTimeoutError:
            raise Fault(f"no connection within {self._timeouts.connect:g} s", reached=False) from None
        except aiohttp.SocketTimeoutError:
            raise Fault(f"no answer within {first:g} s (first_byte_timeout)", reached=True) from None
        except aiohttp.ClientConnectorError as error:
            raise Fault(_why(error.os_error), reached=False) from None
        except aiohttp.ServerDisconnectedError:
            raise Fault("the connection was closed before an answer came", reached=True, broke=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(f"{type(error).__name__}: {error}", reached=True, broke=True) from None

    async def refuses(self) -> bool:
        """Whether the endpoint, or the proxy before it, accepts no connection at the moment. Sends nothing."""
        parts = urlsplit(self._proxy or self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except OSError:  # or no connection in time
            return True
        writer.close()
        return False

    async def _read(self, response: ClientResponse) -> bytes:
        if response.content.is_eof():  # the body came with the head
            return await response.read()
        pieces: list[bytes] = []
        loop, idle = asyncio.get_running_loop(), self._timeouts.idle
        try:
            async with asyncio.timeout(idle) as limit:
                async for piece in response.content.iter_any():
                    pieces.append(piece)
                    limit.reschedule(loop.time() + idle)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Fault(f"the answer stopped in the middle for {idle:g} s (idle_timeout)", reached=True) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _watched_socket(address: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
    """For one address of the endpoint, as `getaddrinfo` returns it."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SILENCE.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _proxy_for(url: str) -> str | None:
    """That of the environment (`HTTPS_PROXY`, `NO_PROXY`...). aiohttp would ask in a thread, for each request."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy and not proxy_bypass(parts.netloc.rpartition("@")[2]) else None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    is_numbered = error.errno is not None and error.errno > 0  # asyncio words those otherwise on each version
    return (os.strerror(error.errno or 0) if is_numbered else error.strerror or str(error)).lower()
