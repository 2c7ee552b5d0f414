"""Which run it is: the same data are the same run whatever their time, and other data never are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.broker.runs import RunRecord as BrokerRecord
from common.building.data_files import check_data_files, data_files, whole_digest
from common.errors import FileChanged, UsageError
from common.protocol.run_options import RunOptions
from common.steps import LoadDataFromDisk, LoadDataFromFile
from common.steps.base import BaseStep, Step, StepInput, StepOutput
from common.steps.loading.file_states import DataFiles
from coordinator.identity.known_data import DataRecord, Recognition, check_data_at_broker
from tests.unit.steps.test_changing_files import edit_the_middle, save

Steps = Callable[[], dict[str, BaseStep]]


class Ask(Step):
    """Reads files that its parameters name."""

    path_fields = ("template", "examples")

    template: str = ""
    examples: list[str] = []

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


@pytest.fixture(params=["a.jsonl", "a.parquet", "saved"])
def steps(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The steps of a pipeline whose data are too large to be read before the first row."""
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", 1_000)
    monkeypatch.setattr("common.steps.loading.file_states.END_BYTES", 1_000)
    path = save(tmp_path / request.param, "old")

    def make() -> dict[str, BaseStep]:
        if path.is_dir():
            return {"load": LoadDataFromDisk(name="load", dataset_path=str(path))}
        return {"load": LoadDataFromFile(name="load", path=str(path))}

    return make


def data_of(steps: Steps) -> Path:
    return Path(data_files(steps())["load"].files[0].path)


def look(runs: Path, steps: Steps) -> tuple[DataRecord, list[str], int]:
    """What a command finds out before it starts: the record, what it says, how many files it reads whole."""
    read: list[str] = []

    def digest(path: str) -> str:
        read.append(path)
        return whole_digest(steps(), path)

    data = data_files(steps())
    content = "c" * 31 + data["load"].fingerprint()[0]
    recognition = Recognition.read(runs, content, data, digest)
    return recognition.record(), recognition.said, len(read)


def begin(runs: Path, record: DataRecord, *, read_whole: bool = True, steps: Steps) -> None:
    """Leaves what a run leaves, whose workers have read the data to their end or not."""
    folder = runs / record.signature[:12]
    folder.mkdir(parents=True, exist_ok=True)
    digests = [whole_digest(steps(), state.path) for state in record.files["load"].files]
    (record.with_digests({"load": digests}) if read_whole else record).write(folder)


def test_a_touched_file_is_read_whole_once_and_is_of_the_same_run(tmp_path: Path, steps: Steps) -> None:
    first, _, _ = look(tmp_path / "runs", steps)
    assert first.signature == first.content
    begin(tmp_path / "runs", first, steps=steps)
    assert look(tmp_path / "runs", steps)[0].signature == first.signature
    assert look(tmp_path / "runs", steps)[2] == 0
    os.utime(data_of(steps), (1_000, 1_000))
    again, said, reads = look(tmp_path / "runs", steps)
    assert again.signature == first.signature
    assert reads == 1
    assert "it was written at 1970-01-01" in said[0]
    assert said[0].endswith("its content is unchanged")
    begin(tmp_path / "runs", again, read_whole=False, steps=steps)
    assert look(tmp_path / "runs", steps)[1:] == ([], 0), "its new time is known, and so is its digest"
    os.utime(data_of(steps), (2_000, 2_000))
    assert look(tmp_path / "runs", steps)[0].signature == first.signature


@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize("read_whole", [False, True])
def test_an_edit_in_the_middle_is_another_run_also_where_the_time_was_put_back(
    tmp_path: Path, steps: Steps, keep_time: bool, read_whole: bool
) -> None:
    first, _, _ = look(tmp_path / "runs", steps)
    begin(tmp_path / "runs", first, read_whole=read_whole, steps=steps)
    file, before = data_of(steps), data_files(steps())["load"].fingerprint()
    times = file.stat()
    original = file.read_bytes()
    edit_the_middle(file)
    if keep_time:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert data_files(steps())["load"].fingerprint() == before, "neither size, head nor tail show it"
    second, said, reads = look(tmp_path / "runs", steps)
    assert second.signature != first.signature
    assert reads == (1 if read_whole else 0), "what is not known of the first run cannot be compared"
    assert f"a different file from that of run {first.signature[:12]}" in said[0]
    begin(tmp_path / "runs", second, read_whole=read_whole, steps=steps)
    assert look(tmp_path / "runs", steps)[0].signature == second.signature
    file.write_bytes(original)
    third, _, _ = look(tmp_path / "runs", steps)
    assert (third.signature == first.signature) == read_whole, "the first run is resumed if it is certain"
    assert third.signature != second.signature


def test_a_copy_in_the_place_of_the_file_is_of_the_same_run(tmp_path: Path, steps: Steps) -> None:
    first, _, _ = look(tmp_path / "runs", steps)
    begin(tmp_path / "runs", first, steps=steps)
    file = data_of(steps)
    shutil.copyfile(file, file.with_name("copy"))
    file.with_name("copy").rename(file)
    assert look(tmp_path / "runs", steps)[0].signature == first.signature


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"content": "a", "signature": "b", "files": {"load": 1}}'])
def test_a_record_that_cannot_be_read_says_nothing(tmp_path: Path, steps: Steps, text: str) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "data.json").write_text(text)
    record, said, _ = look(tmp_path / "runs", steps)
    assert record.signature == record.content
    assert said == []


def test_a_process_that_stood_by_meanwhile_leaves_the_digests_that_were_noted(tmp_path: Path, steps: Steps) -> None:
    before, *_ = look(tmp_path / "runs", steps)
    begin(tmp_path / "runs", before, steps=steps)
    begin(tmp_path / "runs", before, read_whole=False, steps=steps)
    os.utime(data_of(steps))
    again, *_ = look(tmp_path / "runs", steps)
    assert again.signature == before.signature


def test_small_files_are_part_of_the_signature_with_all_their_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", "old")

    def fingerprint() -> str:
        return LoadDataFromFile(name="load", path=str(path)).fingerprint()

    before = fingerprint()
    os.utime(path, (1_000, 1_000))
    assert fingerprint() == before
    edit_the_middle(path)
    assert fingerprint() != before


def test_files_that_a_path_field_names_are_data_of_the_step(tmp_path: Path) -> None:
    for name in ("template.j2", "one.txt", "two.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()

    def found(**options: object) -> dict[str, str]:
        return {name: files.fingerprint() for name, files in data_files({"ask": Ask(name="ask", **options)}).items()}

    template, examples = str(tmp_path / "template.j2"), [str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]
    before = found(template=template, examples=examples)
    assert set(before) == {"ask.template", "ask.examples"}
    os.utime(tmp_path / "one.txt", (1_000, 1_000))
    assert found(template=template, examples=examples) == before
    (tmp_path / "two.txt").write_text("zwo.txt")
    after = found(template=template, examples=examples)
    assert after["ask.examples"] != before["ask.examples"]
    assert after["ask.template"] == before["ask.template"]
    for nothing in ("", "missing", str(tmp_path / "folder"), "x" * 5_000, "a\0b", "s3://bucket/file"):
        assert found(template=nothing) == {}


def test_a_worker_that_finds_another_file_than_the_run_began_with_says_so(tmp_path: Path) -> None:
    path = tmp_path / "template.j2"
    path.write_text("one")
    step = Ask(name="ask", template=str(path))
    known = data_files({"ask": step})
    os.utime(path, (1_000, 1_000))
    check_data_files(step, known)
    check_data_files(step, {})
    path.write_text("two")
    with pytest.raises(FileChanged, match=r"template\.j2 has changed since the run began"):
        check_data_files(step, known)
    path.unlink()
    check_data_files(step, known)


@pytest.mark.parametrize("limit", [0, 1_000_000], ids=["large", "small"])
@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_a_worker_takes_a_file_whose_mode_or_links_alone_have_changed(
    tmp_path: Path, limit: int, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", limit)
    path = tmp_path / "template.j2"
    path.write_text("one")
    step = Ask(name="ask", template=str(path))
    known = data_files({"ask": step})
    if host == "elsewhere":
        known = {name: replace(files, host=host) for name, files in known.items()}
    path.chmod(0o640)
    os.link(path, tmp_path / "link")
    check_data_files(step, known)
    os.utime(path, (1_000, 1_000))
    if limit or host == "elsewhere":
        check_data_files(step, known)
    else:
        with pytest.raises(FileChanged, match="it was written at 1970-01-01"):
            check_data_files(step, known)


def test_a_worker_sees_bytes_that_have_changed_whose_time_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.steps.loading.file_states.END_BYTES", 2)
    path = tmp_path / "template.j2"
    path.write_text("what is in the middle")
    step = Ask(name="ask", template=str(path))
    known = data_files({"ask": step})
    before = path.stat()
    edit_the_middle(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FileChanged, match="its content differs"):
        check_data_files(step, known)
    monkeypatch.setattr("common.steps.loading.file_states.SMALL_BYTES", 0)
    with pytest.raises(FileChanged, match="its content differs"):
        check_data_files(step, known)


def test_a_file_that_cannot_be_read_is_named_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template.j2").write_text("text")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "template.j2")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UsageError, match=r"step 'ask': the file in 'template': .* cannot be read: .*denied"):
        data_files({"ask": Ask(name="ask", template=str(tmp_path / "template.j2"))})


def at_broker(data: DataFiles) -> BrokerRecord:
    """A run begun on another host."""
    return BrokerRecord(
        run_id="demo-1",
        pipeline="demo",
        signature="s",
        status="running",
        want="",
        spec={},
        options=RunOptions(fingerprints={"load": data.encode(), "hub": "a commit"}),
        position=1,
        epoch="1",
        begun="",
    )


def test_a_run_that_another_host_began_goes_on_with_its_data_alone(steps: Steps) -> None:
    elsewhere = replace(data_files(steps())["load"], host="another")
    now = {"load": data_files(steps())["load"]}
    record = DataRecord(content="c", signature="s", files=now)
    check_data_at_broker(at_broker(elsewhere), record)
    copied = replace(elsewhere, files=tuple(replace(state, inode=1, changed=1) for state in elsewhere.files))
    check_data_at_broker(at_broker(copied), record)
    later = replace(elsewhere, files=tuple(replace(state, time="1000", whole="a" * 32) for state in elsewhere.files))
    with pytest.raises(UsageError, match=r"run 'demo-1' seems to have begun with another file than .*--fresh"):
        check_data_at_broker(at_broker(later), record)
    check_data_at_broker(at_broker(later), record.with_digests({"load": ["a" * 32]}))
    other = record.with_digests({"load": ["b" * 32]})
    with pytest.raises(UsageError, match=r"run 'demo-1' seems to have begun with another file"):
        check_data_at_broker(at_broker(later), other)
