"""`render systemd`: units for hosts without containers."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from common.errors import EXIT_CANNOT_SERVE, EXIT_FAILED_ROWS, EXIT_STOPPED, EXIT_USAGE
from common.settings import Settings
from tests.support.rendered import QUICKSTART, call, write_hard

Unit = dict[str, list[str]]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PENSTOCK_{name.upper()}", raising=False)


def units(folder: Path, *arguments: object) -> dict[str, Unit]:
    """File name -> key -> values."""
    result = call("render", "systemd", *arguments, "--output", folder)
    assert result.exit_code == 0, result.output
    return {path.name: unit(path.read_text()) for path in folder.glob("*.service")}


def unit(text: str) -> Unit:
    found: Unit = defaultdict(list)
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def test_there_is_a_unit_for_the_coordinator_and_a_template_for_each_step(tmp_path: Path) -> None:
    prefix = "penstock-quickstart-"
    steps = ("load", "clean", "unique", "generate", "judge", "good", "keep")
    templates = {f"{prefix}worker-{step}@.service" for step in steps}
    assert units(tmp_path / "units", QUICKSTART).keys() == {f"{prefix}coordinator.service", *templates}
    assert (tmp_path / "units" / "quickstart.env").exists()


def test_the_workers_of_a_host_are_stopped_and_started_as_one(tmp_path: Path) -> None:
    found = units(tmp_path / "units", QUICKSTART)
    target = unit((tmp_path / "units" / "penstock-quickstart.target").read_text())
    assert target["WantedBy"] == ["multi-user.target"]
    for name, one in found.items():
        worker = "-worker-" in name
        # Else a stop of the target would not wait for workers.
        assert ("penstock-quickstart.target" in one["After"][0].split()) == worker
        assert one["PartOf"] == (["penstock-quickstart.target"] if worker else [])
        assert one["WantedBy"] == ["penstock-quickstart.target" if worker else "multi-user.target"]


def test_secrets_come_from_a_file_that_only_root_reads(tmp_path: Path) -> None:
    found = units(tmp_path / "units", QUICKSTART)
    assert all(one["EnvironmentFile"][0] == "/etc/penstock/quickstart.env" for one in found.values())
    text = (tmp_path / "units" / "quickstart.env").read_text()
    assert "-o root -g root -m 0600" in text
    assert 'PENSTOCK_BROKER_URL="rediss://' in text
    assert all("redis" not in one["ExecStart"][0] for one in found.values())


def test_workers_are_started_again_unless_they_cannot_serve(tmp_path: Path) -> None:
    for name, one in units(tmp_path / "units", QUICKSTART).items():
        if "-worker-" in name:
            assert one["Restart"] == ["always"]
            assert one["RestartPreventExitStatus"] == [str(EXIT_CANNOT_SERVE)]
            assert one["StartLimitIntervalSec"] == ["0"]  # a broker may be away for a night
            assert one["KillMode"] == ["mixed"]  # a signal to what the step has started would spoil its batch


def test_the_coordinator_is_started_again_only_where_it_would_end_otherwise(tmp_path: Path) -> None:
    one = units(tmp_path / "units", QUICKSTART)["penstock-quickstart-coordinator.service"]
    assert one["Restart"] == ["on-failure"]
    assert one["RestartPreventExitStatus"] == [f"{EXIT_USAGE} {EXIT_FAILED_ROWS} 5"]
    assert one["SuccessExitStatus"] == [f"{EXIT_FAILED_ROWS} {EXIT_STOPPED}"]
    assert (one["StartLimitIntervalSec"], one["StartLimitBurst"]) == (["3600"], ["5"])
    assert all(f" {option} " in one["ExecStart"][0] for option in ("--workers external", "--standby"))


def test_units_get_longer_to_end_than_batches_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_GRACE", "300")
    for one in units(tmp_path / "units", QUICKSTART).values():
        assert (one["KillSignal"], one["TimeoutStopSec"]) == (["SIGTERM"], ["330"])
        assert "PENSTOCK_GRACE=300" in one["Environment"]


def test_commands_are_those_of_the_hosts(tmp_path: Path) -> None:
    found = units(tmp_path / "units", QUICKSTART, "--folder", "/srv/my pipeline", "--bin-dir", "/usr/local/bin")
    assert found["penstock-quickstart-worker-clean@.service"]["ExecStart"] == [
        "/usr/local/bin/pipeline-worker --step clean --stay --pipeline quickstart --allow mysteps "
        '--base-dir "/srv/my pipeline"'
    ]
    assert found["penstock-quickstart-coordinator.service"]["ExecStart"][0].startswith(
        '/usr/local/bin/pipeline-coordinator run "/srv/my pipeline/quickstart.yaml" --workers external'
    )
    # Its files may be elsewhere than on the coordinator's host.
    assert "--base-dir" in found["penstock-quickstart-worker-load@.service"]["ExecStart"][0]
    assert "--base-dir" not in found["penstock-quickstart-worker-keep@.service"]["ExecStart"][0]


def test_what_systemd_would_put_in_is_kept_as_it_is(tmp_path: Path) -> None:
    found = units(tmp_path / "units", write_hard(tmp_path), "--set", 'no.llm.prefix=$A 50% "q"')
    (line,) = found["penstock-9.Quotes_Big-coordinator.service"]["ExecStart"]
    assert ' --set "no.llm.prefix=$$A 50%% \\"q\\"" ' in line


def test_only_workers_with_gpus_see_devices(tmp_path: Path) -> None:
    found = units(tmp_path / "units", write_hard(tmp_path))
    private = {name: one["PrivateDevices"] for name, one in found.items() if "-worker-" in name}
    assert {name.rpartition("worker-")[2]: value for name, value in private.items()} == {
        "Load_All@.service": ["yes"],
        "load-all@.service": ["yes"],
        "no@.service": ["no"],
        "big@.service": ["no"],
    }
    for one in found.values():
        assert (one["NoNewPrivileges"], one["ProtectSystem"], one["CapabilityBoundingSet"]) == (
            ["yes"],
            ["strict"],
            [""],
        )
        assert one["StateDirectory"] == ["penstock"]
        assert one["User"] == ["penstock"]


def test_homes_are_seen_where_the_pipeline_is_in_one(tmp_path: Path) -> None:
    found = units(tmp_path / "units", QUICKSTART, "--folder", "/home/me/quotes")
    assert {one["ProtectHome"][0] for one in found.values()} == {"read-only"}
    found = units(tmp_path / "others", QUICKSTART, "--folder", "/srv/quotes")
    assert {one["ProtectHome"][0] for one in found.values()} == {"yes"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--folder", "here"), "--folder here is not absolute"),
        (("--bin-dir", "bin"), "--bin-dir bin is not absolute"),
        (("--user", "No One"), "--user 'No One' is not a valid user name"),
    ],
)
def test_what_systemd_does_not_take_is_refused(options: tuple[str, str], said: str) -> None:
    result = call("render", "systemd", QUICKSTART, *options)
    assert result.exit_code == 2
    assert said in result.output


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    binaries, folder = tmp_path / "bin", tmp_path / "units"
    binaries.mkdir()
    for name in ("pipeline-coordinator", "pipeline-worker"):
        (binaries / name).write_text("#!/bin/sh\n")
        (binaries / name).chmod(0o755)
    found = units(folder, write_hard(tmp_path), "--bin-dir", binaries, "--set", 'no.llm.prefix=$A 50% "q"')
    files = []
    for name in found:
        files.append(folder / name.replace("@.", "@1."))
        files[-1].write_text((folder / name).read_text())
    done = subprocess.run([analyze, "verify", *map(str, files)], capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "penstock-" in line]
    assert (done.returncode, about_ours) == (0, [])
