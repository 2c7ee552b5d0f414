"""How the workers of a host share its devices: one lease per device, in the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from common.broker.connection import Connection
from common.protocol.fields import json_object


@dataclass(frozen=True, slots=True)
class DeviceHolder:
    """A worker that has devices or needs some.

    Args:
        wants: a number of devices, or the leases of specific ones.
        beside: the same for the other steps of the run served on this host at the same time.
    """

    run: str
    step: str
    worker: str
    pid: int
    wants: int | list[str]
    beside: Mapping[str, int | list[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, held: bytes) -> DeviceHolder:
        """Parses a lease; an unknown worker if it is not valid."""
        fields = json_object(held)
        run, step, worker = (str(fields.get(name, "unknown"))[:255] for name in ("run", "step", "worker"))
        return cls(run, step, worker, pid if isinstance(pid := fields.get("pid"), int) else 0, 0)

    def dump(self) -> str:
        """The content of a device's lease: always the same text."""
        return json.dumps(asdict(self), sort_keys=True)


class DeviceLeases:
    """One worker's side of leases of devices; its keeper has another.

    Args:
        holder: who the worker is, from `DeviceHolder.dump`.
        lease: seconds that a device stays taken after each renewal.
    """

    def __init__(self, connection: Connection, holder: str, lease: float) -> None:
        self.holder = holder
        self._connection = connection
        self._lease_ms = round(lease * 1000)

    def take(self, keys: Sequence[str]) -> tuple[list[str], list[DeviceHolder | None]]:
        """Takes all the devices that the worker needs of these, or none. Asking again after a lost reply is safe.

        Returns:
            Keys of the devices taken; if none, who has each device now, None for a free one. A free device
            may be reserved for a step served on this host that has none yet.
        """
        taken, *answers = self._connection.call("acquire_devices", keys, self.holder, self._lease_ms)
        if taken:
            return [keys[number - 1] for number in answers], []
        return [], [DeviceHolder.parse(answer) if answer else None for answer in answers]

    def renew(self, keys: Sequence[str]) -> None:
        """Keeps the devices for another lease; an expired one is taken again unless another worker has it."""
        self._connection.call("renew_devices", keys, self.holder, self._lease_ms)

    def release(self, keys: Sequence[str]) -> None:
        """Releases those of the devices that the worker has."""
        self._connection.call("release_devices", keys, self.holder)

    def others(self, keys: Sequence[str]) -> dict[str, DeviceHolder]:
        """The devices that other workers have."""
        values = self._connection.command("MGET", *keys)
        return {
            key: DeviceHolder.parse(value)
            for key, value in zip(keys, values, strict=True)
            if value is not None and value != self.holder.encode()
        }
