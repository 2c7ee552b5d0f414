"""The GPUs of this host that a worker may use: the user's own choice of them, else all of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import CannotServe

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
VARIABLES = (CUDA_VARIABLE, "HIP_VISIBLE_DEVICES")
"""By which a user, and we, say which devices a process is to see."""
ORDER_VARIABLE = "CUDA_DEVICE_ORDER"
NVIDIA_SMI_ORDER = "PCI_BUS_ID"
"""The order in which CUDA numbers devices as nvidia-smi does."""

_GPU = re.compile(r"GPU (?P<number>\d+): (?P<model>.*) \(UUID: (?P<uuid>\S+)\)")
_MIG = re.compile(r"\s+MIG .*\(UUID: (?P<uuid>\S+)\)")
_NAME = re.compile(r"\d+|(GPU|MIG)-\S+")


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a MIG instance of one.

    Args:
        name: which one it is, for every process of the host: its UUID where there is one.
        number: as nvidia-smi counts; empty for a MIG instance.
        visible: what it is called in CUDA_VISIBLE_DEVICES.
        model: such as `NVIDIA H100 80GB HBM3`; empty where nobody says.
    """

    name: str
    number: str
    visible: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class HostDevices:
    """The devices that a worker may use, in order.

    Args:
        source: who says so, such as `nvidia-smi` or `CUDA_VISIBLE_DEVICES=1,2`.
        variable: by which a process is told.
    """

    devices: tuple[Device, ...]
    source: str
    variable: str = CUDA_VARIABLE

    def environment(self, chosen: Sequence[Device]) -> dict[str, str]:
        """What makes a process see these devices alone."""
        found = {self.variable: ",".join(device.visible for device in chosen)}
        if self.variable == CUDA_VARIABLE and any(device.visible.isdigit() for device in chosen):
            found[ORDER_VARIABLE] = NVIDIA_SMI_ORDER
        return found

    def __str__(self) -> str:
        numbers = ", ".join(device.visible for device in self.devices)
        return f"{len(self.devices)} ({self.source}{f': {numbers}' if numbers and '=' not in self.source else ''})"


def host_devices(listed: str | None, environment: Mapping[str, str]) -> HostDevices:
    """The devices of this host that the environment lets this process use.

    Args:
        listed: of `PENSTOCK_DEVICES`, in the place of what nvidia-smi says; None to ask that.

    Raises:
        CannotServe: nvidia-smi fails, or it is not certain which devices the environment means.
    """
    if listed is None:
        there, source = _ask_nvidia_smi()
    else:
        names = [name.strip() for name in listed.split(",") if name.strip()]
        there, source = [Device(name, name, name) for name in names], f"PENSTOCK_DEVICES={listed}"
    variable = next((name for name in VARIABLES if name in environment), None)
    if variable is None:
        return HostDevices(tuple(there), source)
    text = environment[variable]
    chosen = _chosen(text, there, trusted=listed is None)
    numbered = variable == CUDA_VARIABLE and any(device.visible.isdigit() for device in chosen)
    if numbered and len({device.model for device in there}) > 1 and environment.get(ORDER_VARIABLE) != NVIDIA_SMI_ORDER:
        raise CannotServe(
            f"it is not certain which devices {variable}={text} means, since the GPUs of this host differ and CUDA "
            f"numbers them by speed: set {ORDER_VARIABLE}={NVIDIA_SMI_ORDER} for the numbers of nvidia-smi, or name "
            "the devices by their UUIDs"
        )
    return HostDevices(tuple(chosen), f"{variable}={text}", variable)


def _chosen(text: str, there: Sequence[Device], *, trusted: bool) -> list[Device]:
    """As CUDA reads its variable: the list ends at the first entry that is no device.

    Args:
        trusted: what nvidia-smi does not list may be there: it may be missing, or the GPU be another maker's.
    """
    found: list[Device] = []
    for entry in (part.strip() for part in text.split(",")):
        device = _find(entry, there)
        if device is None and trusted and _NAME.fullmatch(entry) and (not there or entry.startswith("MIG-")):
            device = Device(entry, entry if entry.isdigit() else "", entry)
        if device is None or device.name in {each.name for each in found}:
            break
        found.append(device)
    return found


def _find(entry: str, there: Sequence[Device]) -> Device | None:
    """By its number, or by its UUID, which may be cut off where it is clear which one is meant."""
    for device in there:
        if entry in (device.number, device.name) and entry:
            return Device(device.name, device.number, entry, device.model)
    matching = [device for device in there if entry.startswith(("GPU-", "MIG-")) and device.name.startswith(entry)]
    if len(matching) != 1:
        return None
    return Device(matching[0].name, matching[0].number, matching[0].name, matching[0].model)


def _ask_nvidia_smi() -> tuple[list[Device], str]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return [], "there is no nvidia-smi"
    try:
        listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=120, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise CannotServe(f"nvidia-smi cannot list the GPUs of this host: {error.stdout}{error.stderr}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotServe(f"nvidia-smi cannot list the GPUs of this host: {error}") from error
    return list(_parse(listed)), "nvidia-smi"


def _parse(listed: str) -> list[Device]:
    """What `nvidia-smi -L` prints: a line for each GPU, and below it one for each of its MIG instances.

    A GPU that is divided is not a device itself: who is given it gets its first instance.
    """
    found: list[Device] = []
    gpu: Device | None = None
    for line in listed.splitlines():
        if match := _GPU.match(line):
            gpu = Device(match["uuid"], match["number"], match["number"], match["model"])
            found.append(gpu)
        elif match := _MIG.match(line):
            if gpu in found:
                found.remove(gpu)
            found.append(Device(match["uuid"], "", match["uuid"], gpu.model if gpu else ""))
    return found
