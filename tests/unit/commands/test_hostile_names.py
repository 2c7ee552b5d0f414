"""Names that would lead out of a folder, or to another key, are refused where they enter."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from common.errors import PenstockError, UsageError
from common.payloads.artifacts import check_name
from common.spec.spec import PipelineSpec
from coordinator.cli import group

HOSTILE = ["..", "../up", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\nb", "a}b", "a:b", "a*b", ""]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_pipeline_cannot_have_the_name(name: str) -> None:
    with pytest.raises((PenstockError, ValueError)):
        PipelineSpec.from_dict({"name": name, "steps": {"a": {"type": "A"}}})


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_step_cannot_have_the_name(name: str) -> None:
    with pytest.raises((PenstockError, ValueError)):
        PipelineSpec.from_dict({"name": "demo", "steps": {name: {"type": "A"}}})


@pytest.mark.parametrize("name", [*HOSTILE, ".hidden"], ids=repr)
def test_an_artifact_cannot_have_the_name(name: str) -> None:
    with pytest.raises(UsageError, match="an artifact cannot be named"):
        check_name("a", name)


@pytest.mark.parametrize("name", [*HOSTILE, "*", ".", "demo/..", "~"], ids=repr)
@pytest.mark.parametrize("command", ["rm", "status", "failures", "stop"])
def test_a_run_that_is_not_known_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    other = tmp_path / "up" / "kept.txt"
    other.parent.mkdir()
    other.write_text("kept")
    cache = tmp_path / "cache"
    (cache / "demo" / "1a2b").mkdir(parents=True)
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    result = CliRunner().invoke(group, [command, "--cache-dir", str(cache), "--", name])
    assert result.exit_code == 2, result.output
    assert other.exists()
    assert (cache / "demo" / "1a2b").exists()
