"""Every key in the broker. All keys of a run share a hash tag, so that its scripts are legal on a cluster."""

from __future__ import annotations

from dataclasses import dataclass

RUNS = "penstock:runs"
"""Set of run ids."""
GROUP = "workers"
"""The consumer group of every step's stream."""
HANDED_BACK = "handed-back"
"""The consumer (not a worker) of entries that workers have handed back."""
HISTORIES = {1: 300, 10: 360}
"""Seconds between two entries of a run's history -> number of entries kept: five minutes, and an hour."""
KEYS_PER_CALL = 1_000
"""Lua accepts a few thousand arguments at most."""
CLAIM_KEYS = 16
"""Keys that the claims of a run are spread over, so that none is very large."""


def device_key(host: str, device: str) -> str:
    """Lease of a device: a string with a time to live. Runs share it, so its hash tag is its host's."""
    return f"penstock:{{devices:{host}}}:{device}"


@dataclass(frozen=True, slots=True)
class AnswerKeys:
    """Keys of the answers of models that are kept in the broker. Runs share them; the number is that of their format.

    A run's id has no colon, so no run has this hash tag.
    """

    tag: str = "penstock:{answers:1}"

    @property
    def used(self) -> str:
        """Sorted set: key -> when it was last used, in ms since 1970."""
        return f"{self.tag}:used"

    @property
    def sizes(self) -> str:
        """Hash: key -> how many bytes it takes; `total`."""
        return f"{self.tag}:bytes"

    def request(self, key: bytes) -> str:
        """Hash, expires: the answers to a request, by number; generation, last, model, parts, first, newest."""
        return f"{self.tag}:of:{key.hex()}"

    def claims(self, run: bytes, key: bytes) -> str:
        """Hash, expires: which places of a run have which answers to the requests of a sixteenth of all keys."""
        return f"{self.tag}:claims:{run.hex()}:{key[0] % CLAIM_KEYS:x}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one run."""

    run_id: str

    def _key(self, *parts: object) -> str:
        return ":".join((f"penstock:{{{self.run_id}}}", *map(str, parts)))

    @property
    def run(self) -> str:
        """Hash that workers only read: spec, status, want, stage, begun, epoch, cursor; per step sent, redo."""
        return self._key("run")

    @property
    def progress(self) -> str:
        """Hash that workers write: position of the journal, status again; per step loaded, columns, descriptor."""
        return self._key("progress")

    @property
    def lease(self) -> str:
        """The coordinator's lease: a string with a time to live."""
        return self._key("lease")

    @property
    def journal(self) -> str:
        """Stream, the shared output of all workers: entry id = position."""
        return self._key("out")

    @property
    def workers(self) -> str:
        """Hash: worker id -> facts about the worker."""
        return self._key("workers")

    @property
    def left(self) -> str:
        """Set: workers that left in the last seconds, whose processes may not have ended."""
        return self._key("left")

    @property
    def dead(self) -> str:
        """Set: ids of workers that their keeper saw end."""
        return self._key("dead")

    @property
    def spent(self) -> str:
        """Hash: worker id -> what it has spent on models; see `common.broker.spending`."""
        return self._key("spent")

    @property
    def log(self) -> str:
        """Bounded stream: log records on their way to the run directory."""
        return self._key("log")

    @property
    def failed(self) -> str:
        """Stream: dead letters on their way to the run directory."""
        return self._key("failed")

    @property
    def view(self) -> str:
        """Hash: the view of the run (`m`), and its time (`at`, in ms by the broker's clock)."""
        return self._key("view")

    def history(self, resolution: int) -> str:
        """Bounded stream: earlier views, at a fixed interval; see `HISTORIES`."""
        return self._key("history", resolution)

    @property
    def seen(self) -> tuple[str, ...]:
        """All keys published for observers of the run."""
        return (self.view, *map(self.history, HISTORIES))

    def inputs(self, step: str) -> str:
        """Stream of the step's input batches."""
        return self._key("in", step)

    def payload(self, step: str, seq: int, attempt: int) -> str:
        """Rows of one output batch."""
        return self._key("payload", step, seq, attempt)

    def manifest(self, step: str, seq: int, attempt: int) -> str:
        """Inputs of a batch that exceed a stream entry, such as those of a global step."""
        return self._key("manifest", step, seq, attempt)

    def worker(self, worker_id: str) -> str:
        """A worker's lease: a string with a time to live."""
        return self._key("worker", worker_id)

    def generator(self, step: str) -> str:
        """Hash of a generator: owner, next, offset, attempt, ended, silent."""
        return self._key("gen", step)

    def isolation(self, step: str, seq: int, attempt: int) -> str:
        """Hash of a batch that runs row by row: the row about to run, and the output of earlier rows."""
        return self._key("isolation", step, seq, attempt)

    @property
    def everything(self) -> str:
        """Pattern that matches every key of the run."""
        escaped = "".join(f"\\{mark}" if mark in "*?[]\\^" else mark for mark in self.run_id)
        return f"penstock:{{{escaped}}}:*"
