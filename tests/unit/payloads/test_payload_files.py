"""Payloads in files: what was written is read, or an error says what is wrong; never other rows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import PayloadCorrupt, PayloadMissing, StoreAway, StoreError
from common.payloads.folder import Folder
from common.payloads.stores import MARK, FileStore
from common.protocol.batch import Payload


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(str(tmp_path / "run-1"))
    store.open("run-1")
    return store


def written(store: FileStore, data: bytes, seq: int = 0) -> Payload:
    return Payload("a", seq, 0, store.write("a", seq, 0, data))


@given(data=st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_is_read_is_what_was_written(store: FileStore, data: bytes) -> None:
    assert store.read(written(store, data)) == data


@given(data=st.binary(min_size=1), other=st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_file_that_is_changed_or_cut_off_is_an_error_that_names_it(
    store: FileStore, data: bytes, other: bytes
) -> None:
    payload = written(store, data)
    file = Path(store.url) / str(payload.external)
    for changed in {other, data[:-1], data + b"\0", b""} - {data}:
        file.write_bytes(changed)
        with pytest.raises(PayloadCorrupt) as error:
            store.read(payload)
        assert error.value.name == str(file)
        assert f"its {len(changed)} bytes" in str(error.value)


def test_a_file_that_is_gone_is_an_error_that_names_it(store: FileStore) -> None:
    payload = written(store, b"rows")
    store.delete([str(payload.external)])
    with pytest.raises(PayloadMissing, match="the file was deleted") as error:
        store.read(payload)
    assert error.value.name == f"{store.url}/{payload.external}"


def test_a_name_without_a_digest_is_no_payload(store: FileStore) -> None:
    Folder(store.url).put("a-0-0-0123456789ab", b"rows")
    with pytest.raises(PayloadCorrupt):
        store.read(Payload("a", 0, 0, "a-0-0-0123456789ab"))


def test_what_is_wrong_with_one_payload_is_said_beside_the_others(store: FileStore) -> None:
    there, gone = written(store, b"rows"), Payload("a", 1, 0, "gone")
    found = store.read_all([there, gone, there])
    assert found[::2] == [b"rows", b"rows"]
    assert isinstance(found[1], PayloadMissing)


def test_payloads_of_a_folder_that_the_run_had_before_are_read_and_deleted(tmp_path: Path, store: FileStore) -> None:
    payload = written(store, b"rows")
    now = FileStore(str(tmp_path / "other"), (store.url,))
    now.open("run-1")
    newer = written(now, b"others", 1)
    assert now.read_all([payload, newer]) == [b"rows", b"others"]
    assert {payload.external, newer.external} < set(now.names())
    now.delete([str(payload.external), str(newer.external)])
    assert set(now.names()) == {MARK}
    now.remove()
    assert not (tmp_path / "other").exists()
    assert not Path(store.url).exists()


def test_a_worker_joins_the_folder_that_the_coordinator_has_opened(store: FileStore) -> None:
    store.join("run-1")
    store.open("run-1")
    assert store.names() == [MARK]


def test_a_worker_refuses_a_folder_that_is_not_the_coordinators(tmp_path: Path, store: FileStore) -> None:
    with pytest.raises(StoreError, match="not-mounted does not exist, or is not the one that the coordinator uses: "):
        FileStore(str(tmp_path / "not-mounted")).join("run-1")
    with pytest.raises(StoreError, match="not the one"):
        store.join("run-2")


class Unwell(MemoryFileSystem):  # type: ignore[misc]
    """A store that fails as told, error after error, and then works.

    Attributes:
        asked: times that something was to be written.
    """

    protocol = "unwell"
    errors: ClassVar[list[Exception]] = []
    asked: ClassVar[list[str]] = []

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        self.asked.append(path)
        if self.errors:
            raise self.errors.pop(0)
        super().pipe_file(path, value, mode)


@pytest.fixture
def unwell() -> type[Unwell]:
    fsspec.register_implementation("unwell", Unwell, clobber=True)
    Unwell.errors.clear()
    Unwell.asked.clear()
    return Unwell


def test_a_store_that_is_away_is_asked_again(unwell: type[Unwell]) -> None:
    unwell.errors += [OSError("503 slow down"), TimeoutError()]
    store = FileStore("unwell://bucket/run-1", patience=30.0)
    assert store.read(written(store, b"rows")) == b"rows"
    assert len(unwell.asked) == 3


def test_a_store_that_is_away_for_longer_than_patience_is_an_error(unwell: type[Unwell]) -> None:
    unwell.errors += [OSError("503 slow down")] * 100
    with pytest.raises(StoreAway, match="unwell://bucket/run-1 cannot be written to: 503 slow down"):
        FileStore("unwell://bucket/run-1", patience=0.3).write("a", 0, 0, b"rows")


def test_what_a_store_refuses_is_not_asked_again(unwell: type[Unwell]) -> None:
    unwell.errors.append(PermissionError("403 forbidden"))
    with pytest.raises(StoreError, match="403 forbidden; credentials come from the environment"):
        FileStore("unwell://bucket/run-1", patience=30.0).write("a", 0, 0, b"rows")
    assert len(unwell.asked) == 1


def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_store(unwell: type[Unwell]) -> None:
    unwell.errors += [TimeoutError()] * 100
    stopping = threading.Event()
    store = FileStore("unwell://bucket/run-1", patience=3600.0, stopping=stopping)
    threading.Timer(0.3, stopping.set).start()
    with pytest.raises(StoreAway):
        store.write("a", 0, 0, b"rows")
