"""Runs as the broker knows them: identity, state, and requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from common.broker.connection import Connection
from common.errors import BrokerError, Fenced, OtherProtocol, RunError, SpecFault, WireError
from common.protocol.fields import json_object, number
from common.protocol.holder import Holder
from common.protocol.keys import KEYS_PER_CALL, RUNS, Keys
from common.protocol.run_json import check_spec
from common.protocol.run_options import RunOptions
from common.protocol.status import ENDED, UNDER_WAY, RunStatus
from common.protocol.wire import PROTOCOL
from common.words.printable import printable

AWAY_LIMIT = 300
"""Most characters of what a worker says that it waits for."""
RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The parsed run hash, and the length of its journal.

    Args:
        spec: the pipeline as `PipelineSpec.dump` gave it, overrides applied.
        want: "stop" if a stop was requested.
        position: entries in the journal.
        begun: when it was begun; `--fresh` starts another run with the same id.
    """

    run_id: str
    pipeline: str
    signature: str
    status: RunStatus
    want: str
    spec: dict[str, Any]
    options: RunOptions
    position: int
    epoch: str
    begun: str = ""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker that has joined a run.

    Args:
        alive: does its lease exist?
        local: was it started by the coordinator itself?
        load_error: traceback of a `load` that raised.
        refused: why it cannot serve the step.
        fault: the fault in the spec, if that is why.
        waits: what it waits for before loading the step: "waits for 1 of 2 GPUs of host..."; empty if nothing.
        away: what its rows wait for: "endpoint http://... (connection refused)"; empty if nothing.
        busy: what has asked it for a pause: "endpoint http://... (429: ...)"; empty if nothing.
        answered: an endpoint has answered it before.
    """

    worker_id: str
    step: str
    host: str
    pid: int
    loaded: bool
    alive: bool
    local: bool
    load_error: str
    refused: str
    waits: str = ""
    away: str = ""
    busy: str = ""
    answered: bool = False
    fault: SpecFault | None = None

    @property
    def troubles(self) -> list[str]:
        """What keeps it from serving its step for good: one line each, safe to print."""
        found = (("could not load its step", self.load_error), ("cannot serve its step", self.refused))
        return [f"{what}: {(printable(why).strip().splitlines() or [''])[-1]}" for what, why in found if why]


class RunRegistry:
    """Reads runs and sends them requests. It writes nothing that a coordinator decides."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run_ids(self) -> list[str]:
        """All runs in the broker, sorted. Impossible names are omitted."""
        names = {name.decode(errors="replace") for name in self._connection.command("SMEMBERS", RUNS)}
        return sorted(name for name in names if RUN_ID.fullmatch(name))

    def add(self, run_id: str) -> None:
        """Makes a run known to workers that look for one; forgets runs whose keys have expired."""
        known = self.run_ids()
        there = self._connection.batch([("EXISTS", Keys(one).run, Keys(one).journal) for one in known])
        for one, exists in zip(known, there, strict=True):
            if exists == 0:
                self.forget(one)
        if not self._connection.command("SISMEMBER", RUNS, run_id):  # a full broker refuses SADD
            self._connection.command("SADD", RUNS, run_id)

    def forget(self, run_id: str) -> None:
        """Removes a run from the set; its keys stay."""
        self._connection.command("SREM", RUNS, run_id)

    def read(self, run_id: str) -> RunRecord | None:
        """The run, or None if the broker has none with this id.

        Raises:
            OtherProtocol: another version created it.
            WireError: the broker's record of it was not written by any version.
        """
        keys = Keys(run_id)
        flat = self._connection.command("HGETALL", keys.run)
        if b"spec" not in flat:
            return None
        fields = {key.decode(errors="replace"): value for key, value in flat.items()}
        protocol = fields.get("protocol", b"0").decode(errors="replace")[:20]
        if protocol != str(PROTOCOL):
            shown = protocol if protocol.isdecimal() else ascii(protocol)
            raise OtherProtocol(
                f"run '{run_id}' was created by a version of Penstock with protocol {shown}; this version has "
                f"protocol {PROTOCOL}: finish the run with that version, or start over with --fresh"
            )
        try:
            return self._record(run_id, fields)
        except (ValueError, RecursionError) as error:
            raise WireError(
                f"the broker's record of run '{run_id}' cannot be read ({keys.run}: {str(error)[:200]}); "
                "another program has written to it: start over with --fresh"
            ) from None

    def _record(self, run_id: str, fields: Mapping[str, bytes]) -> RunRecord:
        spec = json.loads(fields["spec"])
        check_spec(spec)
        status = fields.get("status", b"starting").decode()
        if status not in ENDED | UNDER_WAY:
            raise ValueError(f"'{status[:20]}' is not a status")
        return RunRecord(
            run_id=run_id,
            pipeline=fields.get("pipeline", b"").decode(),
            signature=fields.get("signature", b"").decode(),
            status=cast(RunStatus, status),
            want=fields.get("want", b"").decode(),
            spec=spec,
            options=RunOptions.decode(fields.get("options", b"{}")),
            position=number(self._connection.command("HGET", Keys(run_id).progress, "position"), "position"),
            epoch=fields.get("epoch", b"").decode(),
            begun=fields.get("begun", b"").decode(),
        )

    def all(self, complain: Callable[[str], None] = lambda _: None) -> Iterator[RunRecord]:
        """Every run of this protocol whose keys have not expired; `complain` is told about unreadable ones."""
        for run_id in self.run_ids():
            try:
                record = self.read(run_id)
            except BrokerError:
                raise
            except RunError as error:
                complain(str(error))
                continue
            if record is not None:
                yield record

    def status(self, run_id: str) -> tuple[str, str]:
        """(status, want); empty if there is no such run."""
        status, want = self._connection.command("HMGET", Keys(run_id).run, "status", "want")
        return (status or b"").decode(errors="replace"), (want or b"").decode(errors="replace")

    def begun(self, run_id: str) -> str:
        """When the run was begun; empty if there is no such run."""
        return (self._connection.command("HGET", Keys(run_id).run, "begun") or b"").decode(errors="replace")

    def stage(self, run_id: str) -> int:
        """The current stage of the run, from 0."""
        return number(self._connection.command("HGET", Keys(run_id).run, "stage"), "stage")

    def ask_to_stop(self, run_id: str) -> None:
        """Makes the run's coordinator stop it, as Ctrl-C would. Does not recreate a run that is gone."""
        if self.status(run_id)[0]:
            self._connection.command("HSET", Keys(run_id).run, "want", "stop")

    def lease_holder(self, run_id: str) -> Holder | None:
        """Who coordinates the run now."""
        held = self._connection.command("GET", Keys(run_id).lease)
        return Holder.parse(held) if held else None

    def is_coordinated(self, run_id: str) -> bool:
        """Whether any process has the coordinator's lease of the run."""
        return bool(self._connection.command("EXISTS", Keys(run_id).lease))

    def workers(self, run_id: str) -> list[WorkerRecord]:
        """Workers that have joined and not left, including dead ones."""
        keys = Keys(run_id)
        flat = self._connection.command("HGETALL", keys.workers)
        found = {worker.decode(errors="replace"): json_object(facts) for worker, facts in flat.items()}
        if not found:
            return []
        leases = self._connection.batch([("EXISTS", keys.worker(worker)) for worker in found])
        return [
            _worker(worker, facts, alive=bool(lease))
            for (worker, facts), lease in zip(found.items(), leases, strict=True)
        ]

    def left_workers(self, run_id: str) -> list[WorkerRecord]:
        """Workers that left within `EXIT_SECONDS`, without their ids."""
        left = self._connection.command("SMEMBERS", Keys(run_id).left)
        return [_worker("", json_object(facts), alive=False) for facts in left]

    def loaded_steps(self, run_id: str, steps: list[str]) -> set[str]:
        """Steps that a worker has loaded since the run began."""
        marks = self._connection.command("HMGET", Keys(run_id).progress, *(f"loaded:{step}" for step in steps))
        return {step for step, mark in zip(steps, marks, strict=True) if mark}

    def waiting(self, run_id: str, steps: list[str]) -> dict[str, int]:
        """Entries in each step's stream: those not taken, and those in hand."""
        lengths = self._connection.batch([("XLEN", Keys(run_id).inputs(step)) for step in steps])
        return dict(zip(steps, map(int, lengths), strict=True))

    def condemn(self, run_id: str, remover: Holder, lease: float, dead_token: str = "") -> int:
        """Begins a removal: nobody can coordinate the run during `delete`. Returns how many keys were removed.

        Args:
            remover: who removes it, as shown to others.
            lease: seconds that others wait if it dies.
            dead_token: token of a coordinator known to be dead.

        Raises:
            Fenced: the run has a coordinator.
        """
        keys = Keys(run_id)
        begun, answer = self._connection.call(
            "remove",
            [keys.run, keys.progress, keys.lease],
            replace(remover, removes=True).dump(),
            round(lease * 1000),
            dead_token,
        )
        if not begun:
            raise Fenced(Holder.parse(answer).has_run(run_id))
        return int(answer)

    def delete(self, run_id: str, token: str = "", lease: float = 0.0, *, keeps_lease: bool = False) -> int:
        """Removes every key of the run and returns how many there were.

        First the keys without which remaining workers can add none; then the journal, by which an interrupted removal
        is recognized; the lease last, since no other coordinator starts while it exists.

        Args:
            token: of this process's lease, see `condemn`; empty if nobody else can want the run.
            lease: seconds; it is renewed meanwhile.
            keeps_lease: this process keeps the run.

        Raises:
            Fenced: this process was suspended for longer than its lease, and another has the run.
        """
        keys_of = Keys(run_id)

        def unlink(*keys: str | bytes) -> int:
            deleted = self._connection.call("delete_keys", [keys_of.lease, *keys], token, round(lease * 1000))
            if deleted < 0:
                raise Fenced(
                    f"run '{run_id}' was taken by another process while this one was suspended in deleting its keys; "
                    "its new keys are untouched"
                )
            return int(deleted)

        removed = unlink(keys_of.run, keys_of.progress)
        cursor = b"0"
        while True:
            cursor, found = self._connection.command(
                "SCAN", cursor, "MATCH", keys_of.everything, "COUNT", KEYS_PER_CALL
            )
            removed += unlink(*set(found) - {keys_of.journal.encode(), keys_of.lease.encode()})
            if int(cursor) == 0:
                break
        removed += unlink(keys_of.journal)
        self.forget(run_id)
        return removed + (0 if keeps_lease else unlink(keys_of.lease))


def _worker(worker_id: str, facts: Mapping[str, Any], *, alive: bool) -> WorkerRecord:
    return WorkerRecord(
        worker_id,
        str(facts.get("step", "")),
        str(facts.get("host", "")),
        pid if isinstance(pid := facts.get("pid"), int) else 0,
        bool(facts.get("loaded")),
        alive,
        bool(facts.get("local")),
        str(facts.get("load_error", "")),
        str(facts.get("refused", "")),
        str(facts.get("waits", "")),
        printable(str(facts.get("away", "")))[:AWAY_LIMIT],
        printable(str(facts.get("busy", "")))[:AWAY_LIMIT],
        facts.get("answered") is True,
        _fault(facts.get("fault")),
    )


def _fault(said: object) -> SpecFault | None:
    """`[message, place]`, as a worker writes it."""
    match said:
        case [str(message), [*loc]]:
            return SpecFault(message, tuple(part for part in loc if isinstance(part, str | int)))
        case _:
            return None
