"""A Docker engine, the image, and projects of Docker Compose; skipped without an engine."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.compose import IMAGE, Compose, docker, projects, write_project
from tests.support.runs.harness import REPOSITORY, harnesses

SLOW_OPTIONS = "--limit 600"
BUILD_SECONDS = 900.0


def why_no_engine() -> str:
    """Empty if there is one, with Compose."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            return f"no Docker engine here: `{' '.join(command)}` fails"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    reason = why_no_engine() if ours else ""
    for item in ours:
        item.add_marker(pytest.mark.docker)
        item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 300))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this source, built by Compose; at once where nothing has changed."""
    ended = subprocess.run(
        ["docker", "compose", "--project-directory", REPOSITORY, "-p", "penstock-test", "build", "-q", "coordinator"],
        env={**os.environ, "PENSTOCK_IMAGE": IMAGE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return docker("image", "inspect", "--format", "{{.Id}}", IMAGE).strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose name is a good one for a project."""
    folder = tmp_path / f"penstock-test-{secrets.token_hex(3)}"
    folder.mkdir()
    return folder


@pytest.fixture
def quickstart(image: str, project: Path) -> Iterator[Compose]:
    """The quickstart as it stands."""
    yield from projects(project, slow=False)


@pytest.fixture
def slow(image: str, project: Path) -> Iterator[Compose]:
    """A slow quickstart of 600 rows: there is time to do it harm."""
    yield from projects(project, SLOW_OPTIONS, slow=True)


@pytest.fixture(scope="session")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Identifies the rows of the slow quickstart, and their order, in a run on this host without any container."""
    for harness in harnesses(tmp_path_factory.mktemp("left-alone")):
        write_project(harness.folder, slow=True)
        spec = harness.folder / "examples" / "quickstart.yaml"
        code, said = harness.run(spec, *SLOW_OPTIONS.split(), "--set", "generate.llm.latency=0", timeout=120)
        assert code == 0, said
        digest = harness.digest("keep")
    return digest
