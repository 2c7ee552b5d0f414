"""Which GPUs of a host a worker may use: the user's own choice, nvidia-smi's list, or that of a setting."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import CannotServe
from worker.host.devices import HostDevices, host_devices
from worker.host.placement import check_untouched

EQUAL = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa1111-0000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa2222-0000)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb3333-0000)
"""
DIFFERENT = """\
GPU 0: NVIDIA T400 (UUID: GPU-aaaa1111-0000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb2222-0000)
"""
DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 3g.20gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb2222-0000)
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; `install` puts an nvidia-smi there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, says: str, code: int = 0) -> None:
    """Makes an nvidia-smi that prints this when it is asked for its list."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n[ \"$*\" = -L ] || exit 9\n/bin/cat <<'END'\n{says}END\nexit {code}\n")
    command.chmod(0o755)


def visible(found: HostDevices) -> list[str]:
    return [device.visible for device in found.devices]


def names(found: HostDevices) -> list[str]:
    return [device.name for device in found.devices]


# nvidia-smi


def test_all_devices_that_nvidia_smi_lists_are_there_and_known_by_their_uuids(nvidia_smi: Path) -> None:
    install(nvidia_smi, EQUAL)
    found = host_devices(None, {})
    assert visible(found) == ["0", "1", "2"]
    assert names(found) == ["GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000"]
    assert str(found) == "3 (nvidia-smi: 0, 1, 2)"


def test_a_process_numbers_devices_as_nvidia_smi_does(nvidia_smi: Path) -> None:
    install(nvidia_smi, DIFFERENT)
    found = host_devices(None, {})
    environment = found.environment(found.devices[1:])
    assert environment == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_the_instances_of_a_divided_gpu_are_devices_and_the_gpu_is_none(nvidia_smi: Path) -> None:
    install(nvidia_smi, DIVIDED)
    found = host_devices(None, {})
    assert visible(found) == ["MIG-1111", "MIG-2222", "1"]
    assert found.environment(found.devices[:1]) == {"CUDA_VISIBLE_DEVICES": "MIG-1111"}


def test_a_host_without_nvidia_smi_has_no_devices(nvidia_smi: Path) -> None:
    found = host_devices(None, {})
    assert str(found) == "0 (nvidia-smi not found)"


def test_an_nvidia_smi_that_fails_is_an_error_that_says_why(nvidia_smi: Path) -> None:
    install(nvidia_smi, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9)
    with pytest.raises(CannotServe, match="couldn't communicate with the NVIDIA driver"):
        host_devices(None, {})


# the user's own choice


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("2,0", ["GPU-bbbb3333-0000", "GPU-aaaa1111-0000"]),
        (" 1 ", ["GPU-aaaa2222-0000"]),
        ("GPU-aaaa2222-0000,0", ["GPU-aaaa2222-0000", "GPU-aaaa1111-0000"]),
        ("GPU-bbbb", ["GPU-bbbb3333-0000"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,0", ["GPU-aaaa2222-0000"]),
        ("0,7,1", ["GPU-aaaa1111-0000"]),
        ("0,0", ["GPU-aaaa1111-0000"]),
        ("GPU-aaaa", []),  # it could be either
        ("0,GPU-aaaa1111-0000", ["GPU-aaaa1111-0000"]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(nvidia_smi: Path, chosen: str, expected: list[str]) -> None:
    install(nvidia_smi, EQUAL)
    assert names(host_devices(None, {"CUDA_VISIBLE_DEVICES": chosen})) == expected


def test_two_processes_with_devices_in_another_order_know_them_by_the_same_names(nvidia_smi: Path) -> None:
    install(nvidia_smi, EQUAL)
    one = host_devices(None, {"CUDA_VISIBLE_DEVICES": "0,1"})
    other = host_devices(None, {"CUDA_VISIBLE_DEVICES": "GPU-aaaa2222-0000,GPU-aaaa1111-0000"})
    assert names(one) == names(other)[::-1]


def test_a_device_keeps_the_name_by_which_the_user_chose_it(nvidia_smi: Path) -> None:
    install(nvidia_smi, EQUAL)
    found = host_devices(None, {"CUDA_VISIBLE_DEVICES": "GPU-aaaa2222-0000"})
    assert found.environment(found.devices) == {"CUDA_VISIBLE_DEVICES": "GPU-aaaa2222-0000"}
    assert str(found) == "1 (CUDA_VISIBLE_DEVICES=GPU-aaaa2222-0000)"


def test_numbers_of_unlike_devices_are_refused_unless_it_is_clear_what_they_mean(nvidia_smi: Path) -> None:
    install(nvidia_smi, DIFFERENT)
    with pytest.raises(CannotServe, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        host_devices(None, {"CUDA_VISIBLE_DEVICES": "0"})
    ordered = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert names(host_devices(None, ordered)) == ["GPU-aaaa1111-0000"]
    assert names(host_devices(None, {"CUDA_VISIBLE_DEVICES": "GPU-bbbb"})) == ["GPU-bbbb2222-0000"]


def test_mig_instances_may_be_chosen_by_either_kind_of_name(nvidia_smi: Path) -> None:
    install(nvidia_smi, DIVIDED)
    found = host_devices(None, {"CUDA_VISIBLE_DEVICES": "MIG-2222,MIG-GPU-bbbb2222-0000/1/0"})
    assert names(found) == ["MIG-2222", "MIG-GPU-bbbb2222-0000/1/0"]


def test_without_nvidia_smi_the_users_choice_is_taken_as_it_stands(nvidia_smi: Path) -> None:
    assert names(host_devices(None, {"CUDA_VISIBLE_DEVICES": "1,3"})) == ["1", "3"]
    assert names(host_devices(None, {"CUDA_VISIBLE_DEVICES": ""})) == []
    hip = host_devices(None, {"HIP_VISIBLE_DEVICES": "1,0"})
    assert hip.environment(hip.devices[1:]) == {"HIP_VISIBLE_DEVICES": "0"}


# PENSTOCK_DEVICES


def test_a_list_in_the_settings_stands_in_for_nvidia_smi(nvidia_smi: Path) -> None:
    install(nvidia_smi, EQUAL)
    assert names(host_devices("4, 5", {})) == ["4", "5"]
    assert names(host_devices("4,5", {"CUDA_VISIBLE_DEVICES": "5"})) == ["5"]
    assert names(host_devices("4,5", {"CUDA_VISIBLE_DEVICES": "0"})) == []
    assert names(host_devices("", {})) == []


# too late


def test_a_process_that_has_begun_to_use_cuda_is_given_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    used = False
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: used)))
    check_untouched("embed")
    used = True
    with pytest.raises(CannotServe, match=r"step 'embed' uses CUDA when its module is imported .* into load\(\)"):
        check_untouched("embed")
