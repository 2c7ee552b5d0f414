"""How the workers of a host share its devices: a lease each, in the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from common.broker.connection import Connection
from common.protocol.fields import json_object


@dataclass(frozen=True, slots=True)
class DeviceHolder:
    """A worker that has devices or wants some.

    Args:
        wants: so many devices, or the leases of these very ones.
        beside: the same for the other steps of the run that are served on this host at the same time.
    """

    run: str
    step: str
    worker: str
    pid: int
    wants: int | list[str]
    beside: Mapping[str, int | list[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, held: bytes) -> DeviceHolder:
        """What a lease says; a worker that nobody knows where it says nothing of the kind."""
        fields = json_object(held)
        run, step, worker = (str(fields.get(name, "unknown"))[:255] for name in ("run", "step", "worker"))
        return cls(run, step, worker, pid if isinstance(pid := fields.get("pid"), int) else 0, 0)

    def dump(self) -> str:
        """What the lease of a device holds: the same text each time."""
        return json.dumps(asdict(self), sort_keys=True)


class DeviceLeases:
    """One worker's side of leases of devices; its keeper has another.

    Args:
        holder: who the worker is, as `DeviceHolder.dump` gave it.
        lease: seconds that a device stays taken after each renewal.
    """

    def __init__(self, connection: Connection, holder: str, lease: float) -> None:
        self.holder = holder
        self._connection = connection
        self._lease_ms = round(lease * 1000)

    def take(self, keys: Sequence[str]) -> tuple[list[str], list[DeviceHolder | None]]:
        """Takes all that the worker wants of these devices, or none. To ask again after a lost reply is safe.

        Returns:
            Keys of the devices taken; where there are none, who has each device now, None where it is free. A free one
            may be kept for a step that is served on this host and has none yet.
        """
        taken, *answers = self._connection.call("acquire_devices", keys, self.holder, self._lease_ms)
        if taken:
            return [keys[number - 1] for number in answers], []
        return [], [DeviceHolder.parse(answer) if answer else None for answer in answers]

    def renew(self, keys: Sequence[str]) -> None:
        """Keeps the devices for another lease; one whose lease ran out is taken again unless somebody else has it."""
        self._connection.call("renew_devices", keys, self.holder, self._lease_ms)

    def release(self, keys: Sequence[str]) -> None:
        """Gives back those of the devices that the worker has."""
        self._connection.call("release_devices", keys, self.holder)

    def others(self, keys: Sequence[str]) -> dict[str, DeviceHolder]:
        """The devices that other workers have."""
        values = self._connection.command("MGET", *keys)
        return {
            key: DeviceHolder.parse(value)
            for key, value in zip(keys, values, strict=True)
            if value is not None and value != self.holder.encode()
        }
