"""The private folder of an embedded broker's socket; its name identifies the data folder, but not a copy of it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common.process.file_identity import FileIdentity

LONGEST_SOCKET_PATH = 99  # sockaddr_un holds 104 to 108 bytes, depending on the system
CONFIGURATION = "redis.conf"
_SOCKET = "s"
_RANDOM = "12345678"


@dataclass(frozen=True, slots=True)
class SocketFolder:
    """A temporary folder, mode 0700: `penstock-<device>-<inode of the data folder>-<random>`.

    The name is the proof. The configuration of a server says where its socket is, but a copied or restored run
    directory has a configuration that names the folder of another server.
    """

    path: Path

    @classmethod
    def make(cls, data: Path) -> SocketFolder:
        """Creates a folder with a path short enough for a socket in it."""
        prefix = _prefix(data)
        for parent in (tempfile.gettempdir(), "/tmp"):
            if len(os.fsencode(os.path.join(parent, prefix + _RANDOM, _SOCKET))) <= LONGEST_SOCKET_PATH:
                return cls(Path(tempfile.mkdtemp(prefix=prefix, dir=parent)))
        raise AssertionError("/tmp is short enough")

    @classmethod
    def of(cls, data: Path) -> SocketFolder | None:
        """The folder last created for the server on this data folder; None if there is none."""
        try:
            configured = re.search(
                r'^unixsocket "(.*)"$', (data / CONFIGURATION).read_text(encoding="utf-8"), re.MULTILINE
            )
            if configured is None:
                return None
            folder = cls(Path(re.sub(r"\\(.)", r"\1", configured.group(1))).parent)
            found = folder.path.lstat()
            is_ours = folder.path.name.startswith(_prefix(data)) and found.st_uid == os.getuid()
        except (OSError, UnicodeDecodeError):
            return None
        return folder if is_ours and stat.S_ISDIR(found.st_mode) else None

    @property
    def socket(self) -> Path:
        """The path for the server."""
        return self.path / _SOCKET

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"unix://{quote(str(self.socket))}"

    def remove(self) -> None:
        """Deletes what a server leaves in it, and the folder if nothing else is in it; it may be gone already."""
        with contextlib.suppress(OSError):
            self.socket.unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()


def _prefix(data: Path) -> str:
    identity = FileIdentity.at(data)
    return f"penstock-{identity.device:x}-{identity.inode:x}-"
