"""The holder of a run's lease or a folder's lock: a process and its host."""

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
    """A process that holds something exclusive. `str` names it: `process 4711 on gpu-2`.

    Args:
        pid, host: None and empty if unknown.
        token: the random token of a lease; empty in a lock.
        directory: its run directory, with all links resolved; empty if it has none.
        inode: of that directory; None if the holder does not say.
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
        """Parses a lease; an unknown process if another program wrote it."""
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
        """The content of its lease."""
        fields: dict[str, object] = {"token": self.token, "pid": self.pid, "host": self.host}
        if self.directory:
            fields |= {"directory": self.directory, "inode": self.inode}
        if self.removes:
            fields["removes"] = True
        return json.dumps(fields)

    @classmethod
    def named(cls, name: str) -> Holder:
        """The holder named in a lock; an unknown process if the name is invalid."""
        found = _NAME.fullmatch(name.strip())
        return cls(int(found[1]), one_line(found[2], LONGEST_HOST)) if found else cls(None, "")

    def has_name_of(self, other: Holder) -> bool:
        """Whether both are the same process, as far as a lock can tell."""
        return (self.pid, self.host) == (other.pid, other.host)

    def has_run(self, run_id: str, argument: str = "") -> str:
        """The message of a command that cannot have a run because this process has it.

        Args:
            argument: identifies the run in commands, if its id alone does not.
        """
        if self.removes:
            return f"run '{run_id}' is being removed by {self}; try again when that is done"
        return f"run '{run_id}' is coordinated by {self}; stop it with: pipeline-coordinator stop {argument or run_id}"
