"""The GPUs of this host that a worker may use: the user's choice, or all of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import CannotServe

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
VARIABLES = (CUDA_VARIABLE, "HIP_VISIBLE_DEVICES")
"""The variables that select the devices that a process sees."""
ORDER_VARIABLE = "CUDA_DEVICE_ORDER"
NVIDIA_SMI_ORDER = "PCI_BUS_ID"
"""The value with which CUDA numbers devices as nvidia-smi does."""

_GPU = re.compile(r"GPU (?P<number>\d+): (?P<model>.*) \(UUID: (?P<uuid>\S+)\)")
_MIG = re.compile(r"\s+MIG .*\(UUID: (?P<uuid>\S+)\)")
_NAME = re.compile(r"\d+|(GPU|MIG)-\S+")


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a MIG instance of one.

    Args:
        name: identifies it for every process of the host: its UUID if there is one.
        number: in nvidia-smi; empty for a MIG instance.
        visible: its name in CUDA_VISIBLE_DEVICES.
        model: such as `NVIDIA H100 80GB HBM3`; empty if unknown.
    """

    name: str
    number: str
    visible: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class HostDevices:
    """The devices that a worker may use, in order.

    Args:
        source: where the list comes from, such as `nvidia-smi` or `CUDA_VISIBLE_DEVICES=1,2`.
        variable: that tells a process.
    """

    devices: tuple[Device, ...]
    source: str
    variable: str = CUDA_VARIABLE

    def environment(self, chosen: Sequence[Device]) -> dict[str, str]:
        """The environment that makes a process see only these devices."""
        found = {self.variable: ",".join(device.visible for device in chosen)}
        if self.variable == CUDA_VARIABLE and any(device.visible.isdigit() for device in chosen):
            found[ORDER_VARIABLE] = NVIDIA_SMI_ORDER
        return found

    def __str__(self) -> str:
        numbers = ", ".join(device.visible for device in self.devices)
        return f"{len(self.devices)} ({self.source}{f': {numbers}' if numbers and '=' not in self.source else ''})"


def host_devices(listed: str | None, environment: Mapping[str, str]) -> HostDevices:
    """The devices of this host that the environment allows this process to use.

    Args:
        listed: from `PENSTOCK_DEVICES`, instead of nvidia-smi's list; None to ask nvidia-smi.

    Raises:
        CannotServe: nvidia-smi fails, or the environment's devices are ambiguous.
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
            f"{variable}={text} is ambiguous: the GPUs of this host differ, and CUDA numbers them by speed; set "
            f"{ORDER_VARIABLE}={NVIDIA_SMI_ORDER} to use the numbers of nvidia-smi, or name the devices by their "
            "UUIDs"
        )
    return HostDevices(tuple(chosen), f"{variable}={text}", variable)


def _chosen(text: str, there: Sequence[Device], *, trusted: bool) -> list[Device]:
    """As CUDA reads its variable: the list ends at the first entry that is not a device.

    Args:
        trusted: accept devices that nvidia-smi does not list: it may be missing, or the GPU may be another vendor's.
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
    """Finds a device by its number or by a UUID, which may be shortened if unambiguous."""
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
        return [], "nvidia-smi not found"
    try:
        listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=120, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise CannotServe(f"nvidia-smi cannot list the GPUs of this host: {error.stdout}{error.stderr}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotServe(f"nvidia-smi cannot list the GPUs of this host: {error}") from error
    return list(_parse(listed)), "nvidia-smi"


def _parse(listed: str) -> list[Device]:
    """The output of `nvidia-smi -L`: a line for each GPU, followed by one for each of its MIG instances.

    A partitioned GPU is not a device itself: selecting it selects its first instance.
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
