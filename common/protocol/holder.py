"""Who holds the lease of a run, or the lock of a folder: a process, and where it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from common.protocol.fields import json_object
from common.words.printable import one_line

LONGEST_HOST = 300
_NAME = re.compile(r"process (\d+) on (.+)")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds something which only one may have. `str` names it: `process 4711 on gpu-2`.

    Args:
        pid, host: None and empty where that is not known.
        token: random, of a lease; empty in a lock.
        directory: its run directory, with all links followed; empty where it has none.
        inode: of that directory; None where the holder does not say.
        removes: it removes the run, and does not coordinate it.
    """

    pid: int | None
    host: str
    token: str = ""
    directory: str = ""
    inode: int | None = None
    removes: bool = False

    def __str__(self) -> str:
        return "another process" if self.pid is None or not self.host else f"process {self.pid} on {self.host}"

    @classmethod
    def parse(cls, held: bytes) -> Holder:
        """What a lease holds; a process that nobody knows where something else has written it."""
        fields = json_object(held)
        pid, inode = fields.get("pid"), fields.get("inode")
        return cls(
            pid if isinstance(pid, int) else None,
            one_line(str(fields.get("host", "")), LONGEST_HOST),
            str(fields.get("token", "")),
            str(fields.get("directory", "")),
            inode if isinstance(inode, int) else None,
            bool(fields.get("removes")),
        )

    def dump(self) -> str:
        """What its lease holds."""
        fields: dict[str, object] = {"token": self.token, "pid": self.pid, "host": self.host}
        if self.directory:
            fields |= {"directory": self.directory, "inode": self.inode}
        if self.removes:
            fields["removes"] = True
        return json.dumps(fields)

    @classmethod
    def named(cls, name: str) -> Holder:
        """The one of this name, as it stands in a lock; a process that nobody knows where it is no such name."""
        found = _NAME.fullmatch(name.strip())
        return cls(int(found[1]), one_line(found[2], LONGEST_HOST)) if found else cls(None, "")

    def has_name_of(self, other: Holder) -> bool:
        """Are they, as far as a lock says it, the same process?"""
        return (self.pid, self.host) == (other.pid, other.host)

    def has_run(self, run_id: str, argument: str = "") -> str:
        """What a command says that cannot have a run since this process has it.

        Args:
            argument: names the run in commands, if its id alone does not.
        """
        if self.removes:
            return f"run '{run_id}' is being removed by {self}; try again when that is done"
        return f"run '{run_id}' is coordinated by {self}; stop it with: pipeline-coordinator stop {argument or run_id}"
