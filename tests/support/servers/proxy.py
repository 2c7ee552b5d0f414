"""Stands between a client and the broker; loses a reply when told to, cuts connections, and is slow."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """A proxy on its own port, for any number of clients.

    Args:
        url: of the broker: `unix://` or `redis://`.

    Example:
        >>> with Proxy(redis_url) as proxy:
        ...     connection = Connection(proxy.url)
        ...     proxy.lose_reply(b"XREADGROUP")
        ...     connection.command("XREADGROUP", ...)  # has run; raises Disconnected
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._marker, self._answered = b"", 0
        self._slow_until = 0.0
        self._guard = threading.Lock()
        self._open: set[socket.socket] = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The broker, by way of this proxy."""
        user = f"{self._target.netloc.rpartition('@')[0]}@" if "@" in self._target.netloc else ""
        path = "" if self._target.scheme == "unix" else self._target.path
        return urlunsplit(("redis", f"{user}127.0.0.1:{self._listener.getsockname()[1]}", path, self._target.query, ""))

    def lose_reply(self, marker: bytes, after: int = 0) -> None:
        """Lets a request that contains `marker` through, then closes its connection in place of the reply.

        Args:
            after: number of such requests that are answered before.
        """
        with self._guard:
            self._marker, self._answered = marker, after

    def cut(self) -> None:
        """Closes every connection; new ones are accepted."""
        with self._guard:
            for one in self._open - {self._listener}:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def slow_down(self, seconds: float) -> None:
        """Lets nothing pass for that long; then everything that came meanwhile, in order."""
        self._slow_until = time.monotonic() + seconds

    @property
    def lost(self) -> bool:
        """Whether the chosen reply has been lost."""
        return not self._marker

    def close(self) -> None:
        """Closes every connection."""
        with self._guard:
            for one in self._open:
                one.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._target.scheme == "unix":
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target.path)
            return server
        return socket.create_connection((self._target.hostname or "127.0.0.1", self._target.port or 6379))

    def _pass_on(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:  # the broker is away
            client.close()
            return
        with self._guard:
            self._open |= {client, server}
        with client, server, contextlib.suppress(OSError):
            self._carry(client, server)
        with self._guard:
            self._open -= {client, server}

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        cut = False
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                    if (wait := self._slow_until - time.monotonic()) > 0:
                        time.sleep(wait)
                    if not data or (cut and key.fileobj is server):
                        return
                    if key.fileobj is client:
                        cut = cut or self._is_marked(data)
                        server.sendall(data)
                    else:
                        client.sendall(data)

    def _is_marked(self, data: bytes) -> bool:
        with self._guard:
            if not self._marker or self._marker not in data:
                return False
            self._answered -= 1
            if self._answered >= 0:
                return False
            self._marker = b""
            return True
