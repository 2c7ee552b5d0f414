"""`render compose`: a file for Docker Compose, and that the repository's own is what it gives for the quickstart."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from common.settings import Settings
from coordinator.commands.run import run
from tests.support.rendered import QUICKSTART, call, documents, rendered, write_hard
from worker.cli import command as worker_command

REPOSITORY = QUICKSTART.parents[1]
OF_THE_BUILD = ("build", "pull_policy")
"""Keys that only the repository's own file has, since it makes the image."""
STEPS = ("load", "clean", "unique", "generate", "judge", "good", "keep")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PENSTOCK_{name.upper()}", raising=False)


def composed(*arguments: object) -> dict[str, Any]:
    (document,) = documents(rendered("compose", *arguments))
    return document


def same_spaces(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: same_spaces(each) for key, each in value.items() if key not in OF_THE_BUILD}
    if isinstance(value, list):
        return [same_spaces(each) for each in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def test_the_repositorys_own_file_is_what_is_rendered_for_the_quickstart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    ours = composed("examples/quickstart.yaml", "--folder", ".")
    theirs = YAML(typ="safe", pure=True).load(REPOSITORY / "docker-compose.yml")
    theirs["volumes"] = {name: value or {} for name, value in theirs["volumes"].items()}
    assert same_spaces(theirs) == same_spaces(ours)


def test_there_is_a_service_for_the_broker_the_coordinator_and_each_step() -> None:
    services = composed(QUICKSTART)["services"]
    assert list(services) == ["redis", "coordinator", *(f"worker-{step}" for step in STEPS), "workers"]
    assert services["workers"]["profiles"] == ["all-steps"]
    assert all("profiles" not in service for name, service in services.items() if name != "workers")


def test_the_folder_of_the_spec_is_seen_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    services = composed(QUICKSTART)["services"]
    mount = f"${{FOLDER:-{QUICKSTART.parent}}}:/work:ro"
    assert services["coordinator"]["volumes"] == [mount, "./output:/output"]
    assert services["worker-load"]["volumes"] == [mount]
    monkeypatch.chdir(REPOSITORY)
    assert composed(QUICKSTART)["services"]["worker-load"]["volumes"] == ["${FOLDER:-./examples}:/work:ro"]


def test_a_path_in_the_file_starts_where_the_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    spec = write_hard(folder)
    assert call("render", "compose", spec, "--output", tmp_path / "docker-compose.yml").exit_code == 0
    (document,) = documents((tmp_path / "docker-compose.yml").read_text())
    assert document["services"]["workers"]["volumes"] == ["${FOLDER:-./pipeline}:/work:ro"]


def test_a_spec_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    result = call("render", "compose", QUICKSTART, "--folder", tmp_path)
    assert result.exit_code == 2
    assert "is not below it" in result.output


def test_redis_keeps_what_it_is_given_and_only_this_host_reaches_it() -> None:
    redis = composed(QUICKSTART, "--redis-image", "valkey:8")["services"]["redis"]
    assert redis["image"] == "valkey:8"
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "--requirepass ${PENSTOCK_REDIS_PASSWORD"):
        assert option in redis["command"]
    assert all(port.startswith("127.0.0.1:") for port in redis["ports"])
    assert redis["volumes"] == ["redis:/data"]
    assert redis["healthcheck"]["test"] == ["CMD-SHELL", "redis-cli ping | grep -q PONG"]


def test_the_coordinator_runs_the_spec_with_its_options() -> None:
    services = composed(QUICKSTART, "--set", "generate.llm.prefix=$HOME it's")["services"]
    words = shlex.split(services["coordinator"]["command"].replace("$$", "$"))
    assert words[:3] == ["pipeline-coordinator", "run", "${SPEC:-quickstart.yaml}"]
    assert words.pop() == "${RUN_OPTIONS:-}"
    context = run.make_context("run", words[2:])
    assert context.params["overrides"] == ("generate.llm.prefix=$HOME it's",)
    assert context.params["workers"] == "external"
    assert "$$HOME" in services["coordinator"]["command"]  # else Compose would put a variable in its place


def test_workers_get_the_modules_that_they_must_allow() -> None:
    services = composed(QUICKSTART)["services"]
    assert services["worker-clean"]["command"] == "pipeline-worker --step clean --stay --allow mysteps --base-dir ."
    assert services["worker-keep"]["command"] == "pipeline-worker --step keep --stay"


def test_the_commands_of_workers_are_understood() -> None:
    for name, service in composed(QUICKSTART, "--folder", QUICKSTART.parent)["services"].items():
        if name.startswith("worker-"):
            words = service["command"].split()[1:]
            context = worker_command.make_context("pipeline-worker", [*words, "--broker", "redis://broker"])
            assert context.params["step"] == name.removeprefix("worker-")


def test_a_step_with_gpus_gets_those_of_the_host_and_shares_them_by_its_host_name(tmp_path: Path) -> None:
    services = composed(write_hard(tmp_path))["services"]
    worker = services["worker-no"]
    (devices,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert worker["hostname"] == services["worker-big"]["hostname"]
    assert worker["deploy"]["replicas"] == 3
    assert worker["deploy"]["resources"]["limits"] == {"cpus": "1.5", "memory": "8000000000"}
    assert "deploy" not in services["worker-load-all"]
    assert worker["command"].split()[:3] == ["pipeline-worker", "--step", "no"]


def test_settings_of_the_environment_are_those_of_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_GRACE", "90")
    monkeypatch.setenv("PENSTOCK_DEVICES", "0")
    services = composed(QUICKSTART)["services"]
    for name, service in services.items():
        if name != "redis":
            assert service["stop_grace_period"] == "100s"
            assert service["environment"]["PENSTOCK_GRACE"] == "90"
            assert "PENSTOCK_DEVICES" not in service["environment"]  # says what this host has


def test_a_file_that_is_there_is_written_over_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "docker-compose.yml"
    path.write_text("mine")
    result = call("render", "compose", QUICKSTART, "--output", path)
    assert (result.exit_code, path.read_text()) == (2, "mine")
    assert f"{path} already exists; pass --force to overwrite" in result.output
    assert call("render", "compose", QUICKSTART, "--output", path, "--force").exit_code == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("genrate=2", "--replicas genrate: there is no such step; did you mean 'generate'?"),
        ("generate", "'generate' is not STEP=N"),
        ("generate=0", "'generate=0' is not STEP=N"),
    ],
)
def test_replicas_that_cannot_be_are_refused(given: str, said: str) -> None:
    result = call("render", "compose", QUICKSTART, "--replicas", given)
    assert result.exit_code == 2
    assert said in result.output


def test_docker_compose_understands_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose")
    for number, spec in enumerate((QUICKSTART, write_hard(tmp_path))):
        file = tmp_path / f"{number}.yml"
        call("render", "compose", spec, "--output", file, "--set", "no.llm.prefix=$A") if number else call(
            "render", "compose", spec, "--output", file
        )
        command = [docker, "compose", "-f", str(file), "--profile", "*", "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
