"""Speaks TLS to clients and plain Redis to the broker behind it: what a Redis with a `tls-port` looks like."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.servers.certificates import Pair


class TlsProxy:
    """A proxy on its own port that demands a certificate from each client.

    Args:
        url: of the broker: `unix://` or `redis://`.
        pair: the certificate that it shows.
        authority: who must have signed the certificates of clients.
    """

    def __init__(self, url: str, pair: Pair, authority: Path) -> None:
        self._target = urlsplit(url)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> TlsProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._open):
            _shut(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(30)
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:  # the client has been told why
            _shut(plain)
            return
        client.settimeout(None)
        server = self._connect()
        self._open |= {client, server}
        threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
        _pass_on(server, client)

    def _connect(self) -> socket.socket:
        if self._target.scheme == "unix":
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target.path)
            return server
        return socket.create_connection((self._target.hostname or "127.0.0.1", self._target.port or 6379))


def _pass_on(reader: socket.socket, writer: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := reader.recv(1 << 16):
            writer.sendall(data)
    _shut(reader)
    _shut(writer)


def _shut(one: socket.socket) -> None:
    """Wakes whoever waits for it, too."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
