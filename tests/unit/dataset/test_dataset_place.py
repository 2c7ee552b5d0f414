"""The place of a dataset: whichever processes write there or die, it is one dataset, complete."""

from __future__ import annotations

import errno
import fcntl
import itertools
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from common.errors import RunError, UsageError
from coordinator.dataset.dataset import build_dataset, copy_dataset
from coordinator.dataset.dataset_place import DatasetPlace
from tests.support.finished_runs import FACTS, write_parts
from tests.support.places import REPOSITORY
from tests.support.sudden_death import dies_at

COPY = """
import sys
from pathlib import Path
from coordinator.dataset.dataset import copy_dataset
from coordinator.dataset.dataset_place import DatasetPlace
sys.stdin.readline()
for _ in range(8):
    copy_dataset(Path(sys.argv[1]), DatasetPlace(Path(sys.argv[2]), "quotes"))
"""
HOLD = """
import signal, sys
from pathlib import Path
from coordinator.dataset.dataset_place import DatasetPlace
with DatasetPlace(Path(sys.argv[1]), "quotes").fill() as fresh:
    (fresh / "half").write_text("of a dataset")
    print("writing", flush=True)
    signal.pause()
"""
FILES = 2


def made(tmp_path: Path, name: str, pipeline: str = "quotes") -> Path:
    """The dataset of a run, in several files, whose rows are all called `name`."""
    home = tmp_path / f"run-{name}"
    parts = {leaf: write_parts(home / "parts", leaf, *[[{"of": name}]] * FILES) for leaf in ("keep", name)}
    facts = replace(FACTS, name=pipeline, run_id=f"{pipeline}-{name}")
    return build_dataset(home / "parts", parts, home / "dataset", facts).path


def whose(folder: Path) -> str:
    """The one run whose dataset it is; fails if it is incomplete."""
    rows = pq.read_table(folder / "keep").column("of").to_pylist()
    assert rows == [rows[0]] * FILES
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"keep", rows[0]}
    DatasetPlace(folder, "quotes").check()
    return str(rows[0])


@pytest.fixture(params=["this-disk", "another-disk"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A new folder: files can be linked to it from the run directory, or they must be copied."""
    if request.param == "this-disk":
        yield tmp_path / "outputs" / "out"
        return
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder) / "out"


def test_two_processes_that_write_there_at_once_leave_the_dataset_of_one(tmp_path: Path, output: Path) -> None:
    sources = [made(tmp_path, name) for name in ("one", "two")]
    copies = [
        subprocess.Popen([sys.executable, "-c", COPY, str(source), str(output)], stdin=subprocess.PIPE, cwd=REPOSITORY)
        for source in sources
    ]
    try:
        for each in copies:
            assert each.stdin is not None
            each.stdin.write(b"go\n")
            each.stdin.close()
        while any(each.poll() is None for each in copies):
            DatasetPlace(output, "quotes").check()  # what a third one does before it starts
        assert [each.wait(60) for each in copies] == [0, 0]
    finally:
        for each in copies:
            each.kill()
            each.wait()
    assert whose(output) in ("one", "two")
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_a_death_at_any_moment_leaves_the_older_dataset_or_the_newer_one_and_the_next_run_clears_up(
    tmp_path: Path, output: Path
) -> None:
    older, newer = made(tmp_path, "older"), made(tmp_path, "newer")
    place = DatasetPlace(output, "quotes")
    seen = set()
    for change in itertools.count(1):
        copy_dataset(older, place)
        died = dies_at(change, lambda: copy_dataset(newer, place))
        seen.add(whose(output) if output.exists() else "moved away")
        place.check()
        if not died:
            break
        with pytest.raises(RunError, match="enough"), place.fill():  # brings back what was moved away, and fails
            raise RunError("enough")
        assert whose(output) in ("older", "newer")
        copy_dataset(newer, place)
        assert whose(output) == "newer"
        assert [path.name for path in output.parent.iterdir()] == ["out"]
    assert seen == {"older", "moved away", "newer"}


def test_who_writes_there_is_waited_for_and_then_named(tmp_path: Path) -> None:
    source, output = made(tmp_path, "mine"), tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, cwd=REPOSITORY) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"writing\n"
            other.send_signal(signal.SIGSTOP)
            told: list[str] = []
            with pytest.raises(RunError, match=rf"process {other.pid} on .* is also writing to {output}"):
                copy_dataset(source, DatasetPlace(output, "quotes", patience=0.1), told.append)
            assert len(told) == 1
            assert told[0].startswith(f"waiting for process {other.pid} on ")
            assert len(list(tmp_path.glob(".out.penstock-*.new"))) == 1, "what somebody alive is making stays"
        finally:
            other.kill()
    copy_dataset(source, DatasetPlace(output, "quotes"))
    assert whose(output) == "mine"
    assert list(tmp_path.glob(".out*")) == []


def test_the_dataset_of_another_pipeline_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    output = tmp_path / "out"
    copy_dataset(made(tmp_path, "first", pipeline="poems"), DatasetPlace(output, "poems"))
    message = r"holds the dataset of another pipeline, 'poems' \(run 'poems-first'\).* --overwrite"
    second = made(tmp_path, "second")
    with pytest.raises(UsageError, match=message):
        DatasetPlace(output, "quotes").check()
    with pytest.raises(UsageError, match=message):
        copy_dataset(second, DatasetPlace(output, "quotes"))
    copy_dataset(second, DatasetPlace(output, "quotes", overwrite=True))
    copy_dataset(made(tmp_path, "third"), DatasetPlace(output, "quotes"))
    assert whose(output) == "third"
    (output / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds thesis\.tex"):
        DatasetPlace(output, "quotes", overwrite=True).check()


def test_another_pipelines_dataset_that_a_death_has_moved_away_is_not_overlooked(tmp_path: Path) -> None:
    output = tmp_path / "out"
    copy_dataset(made(tmp_path, "first", pipeline="poems"), DatasetPlace(output, "poems"))
    output.rename(tmp_path / ".out.penstock-0123456789ab.old")
    with pytest.raises(UsageError, match="the dataset of another pipeline, 'poems'"):
        DatasetPlace(output, "quotes").check()


def test_without_locks_a_dataset_is_put_there_and_what_others_may_be_making_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = made(tmp_path, "mine"), tmp_path / "out"
    (tmp_path / ".out.penstock-0123456789ab.new").mkdir()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        copy_dataset(source, DatasetPlace(output, "quotes"))
    assert whose(output) == "mine"
    assert [path.name for path in tmp_path.glob(".out*")] == [".out.penstock-0123456789ab.new"]
