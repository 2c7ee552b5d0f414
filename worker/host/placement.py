"""How a worker gets its devices before it loads its step, and notices that it has lost them."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from common.broker.connection import Connection
from common.broker.devices import DeviceHolder, DeviceLeases
from common.broker.patience import Patience
from common.building.cuda import DevicesWanted
from common.errors import CannotServe, Disconnected
from common.protocol.keys import device_key
from common.settings import Settings
from worker.host.devices import HostDevices

LOOK_SECONDS = 0.5

Wants = int | list[str]
"""A number of devices, or the leases of specific ones."""


class Placement:
    """The devices of one worker, for one life of the process.

    Args:
        wants: of each step of this run served on this host at the same time, its own included.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        offered: HostDevices,
        member: tuple[str, str, str],
        wanted: Mapping[str, DevicesWanted],
    ) -> None:
        run_id, self._step, worker_id = member
        self._connection = connection
        self._settings = settings
        self._host = socket.gethostname()
        self._offered = offered
        self._devices = {device_key(self._host, device.name): device for device in offered.devices}
        wants = {step: self._resolve(step, each) for step, each in wanted.items() if each}
        self._check(wants)
        self._wants = wants.pop(self._step)
        holder = DeviceHolder(run_id, self._step, worker_id, os.getpid(), self._wants, wants)
        self._leases = DeviceLeases(connection, holder.dump(), settings.worker_lease)
        self.taken: list[str] = []
        """Leases of the worker's devices, in the order in which its process sees them."""

    @property
    def holder(self) -> str:
        """The holder of the devices, as in their leases."""
        return self._leases.holder

    def take(self, stop: threading.Event, say: Callable[[str], None]) -> bool:
        """Waits for the devices, and makes this process see only these.

        Args:
            say: told what the worker waits for, each time that changes.

        Returns:
            False if the worker was told to stop meanwhile.

        Raises:
            Disconnected: the broker was away longer than patience.
        """
        said = ""
        patience = Patience(self._connection, self._settings.patience, say, stop)
        while not stop.is_set():
            try:
                taken, holders = self._leases.take(list(self._devices))
            except Disconnected as error:
                # Leases may have expired while it was away: holders of devices must be the first to return to it.
                if not patience.outlast(error) or stop.wait(self._settings.worker_lease):
                    return False
                continue
            if taken:
                self.taken = self._wants if isinstance(self._wants, list) else taken
                os.environ.update(self._offered.environment([self._devices[key] for key in self.taken]))
                return True
            if (waits := self._words(holders)) != said:
                said = waits
                say(waits)
            stop.wait(LOOK_SECONDS)
        return False

    def lost(self) -> str:
        """The devices that others have by now, in words; empty for none. Leases expire while a host is suspended."""
        others = self._leases.others(self.taken) if self.taken else {}
        return "; ".join(f"{self._devices[key].visible} is {_held_by(holder)}" for key, holder in others.items())

    def __str__(self) -> str:
        return f"{_gpus(len(self.taken))} of host {self._host}: {self._shown(self.taken)}"

    # demands

    def _resolve(self, step: str, wanted: DevicesWanted) -> Wants:
        """The leases of devices given by their numbers."""
        if isinstance(wanted, int):
            return wanted
        leases = {device.number: key for key, device in self._devices.items()}
        missing = [number for number in wanted if str(number) not in leases]
        if missing:
            raise CannotServe(
                f"step '{step}' needs device {missing[0]} (cuda_devices), but host {self._host} offers "
                f"{self._offered}: change cuda_devices, or start its worker on another host"
            )
        return [leases[str(number)] for number in wanted]

    def _check(self, wants: Mapping[str, Wants]) -> None:
        """Raises CannotServe: this host can never give the worker its devices, or not beside the other steps."""
        there = len(self._devices)
        if (own := _number(wants[self._step])) > there:
            raise CannotServe(
                f"step '{self._step}' needs {_gpus(own)}, but host {self._host} offers {self._offered}: start its "
                "worker on another host, or change resources.gpus (or cuda_devices)"
            )
        named = [key for each in wants.values() if isinstance(each, list) for key in each]
        if sum(map(_number, wants.values())) > there or len(set(named)) < len(named):
            listed = ", ".join(
                f"'{step}' {_gpus(each) if isinstance(each, int) else f'device {self._shown(each)}'}"
                for step, each in sorted(wants.items())
            )
            raise CannotServe(
                f"host {self._host} cannot serve these steps at the same time: {listed}; it offers {self._offered}: "
                "make them take turns with load_groups, serve them on different hosts (pipeline-worker --step), or "
                "change resources.gpus (or cuda_devices)"
            )

    # words

    def _shown(self, keys: Sequence[str]) -> str:
        return ", ".join(self._devices[key].visible for key in keys)

    def _words(self, holders: Sequence[DeviceHolder | None]) -> str:
        held: dict[str, list[str]] = {}
        for key, holder in zip(self._devices, holders, strict=True):
            whose = _held_by(holder) if holder else "free, but reserved for a step that has none yet"
            held.setdefault(whose, []).append(key)
        wants = self._wants
        which = f"GPU {self._shown(wants)}" if isinstance(wants, list) else f"{wants} of {_gpus(len(self._devices))}"
        each = (f"{self._shown(keys)} {'is' if len(keys) == 1 else 'are'} {whose}" for whose, keys in held.items())
        return f"waits for {which} of host {self._host}: {'; '.join(each)}"


def check_untouched(step: str) -> None:
    """Raises CannotServe: this process already uses CUDA, so it would not notice a change of its devices."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise CannotServe(
            f"step '{step}' uses CUDA when its module is imported or the step is created, before its worker has "
            "taken devices: move that code into load()"
        )


def _number(wants: Wants) -> int:
    return wants if isinstance(wants, int) else len(wants)


def _gpus(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"


def _held_by(holder: DeviceHolder) -> str:
    return f"held by worker {holder.worker} of step '{holder.step}' (run {holder.run}, process {holder.pid})"
