"""Where the file of kept answers is. On a file system that hosts share, each of them has a file of its own.

SQLite's shared memory works among the processes of one host; two hosts that write to one file would damage it.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

FILE = "answers.sqlite"
MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre"}
    | {"nfs", "nfs4", "orangefs", "panfs", "smb3", "smbfs", "wekafs"}
)


def answers_file(cache: Path) -> Path:
    """The file in a cache folder, for this host."""
    try:
        mounts = MOUNTS.read_text()
    except OSError:  # not Linux
        mounts = ""
    if file_system_of(cache.resolve(), mounts) not in _SHARED:
        return cache / FILE
    host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
    return cache / f"{Path(FILE).stem}-{host}{Path(FILE).suffix}"


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that a path is on; empty if that is unknown.

    Args:
        mounts: as in `/proc/self/mountinfo`; of two mounts at one place, the later one counts.
    """
    found, longest = "", -1
    for line in mounts.splitlines():
        here, _, there = line.partition(" - ")
        fields = here.split(" ")
        if len(fields) < 5 or not there:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = there.split(" ")[0], len(point.parts)
    return found
