"""Payloads in a bucket: an S3 server, as s3fs sees it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import PayloadCorrupt, PayloadMissing, StoreAway, StoreError
from common.payloads.stores import MARK, FileStore
from common.protocol.batch import Payload
from tests.support.runs.big_rows import write_spec
from tests.support.runs.harness import Harness, harnesses
from tests.support.servers.s3_server import BUCKET, S3Server

URL = f"s3://{BUCKET}/run-1"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()  # connections outlive the environment of a test
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(environment: None) -> Iterator[FileStore]:
    store = FileStore(URL)
    store.open("run-1")
    yield store
    store.remove()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def test_what_was_written_is_read_by_others_and_deleted(server: S3Server, store: FileStore) -> None:
    worker = FileStore(URL)
    worker.join("run-1")
    payloads = [Payload("a", seq, 0, worker.write("a", seq, 0, bytes([seq]) * 1_000)) for seq in range(20)]
    assert store.read_all(payloads) == [bytes([seq]) * 1_000 for seq in range(20)]
    assert set(store.names()) == {MARK, *(payload.external for payload in payloads)}
    store.delete([str(payload.external) for payload in payloads] + ["gone"])
    assert server.keys() == [f"run-1/{MARK}"]
    store.remove()
    assert server.keys() == []


def test_a_file_that_came_after_the_last_listing_is_found(server: S3Server, store: FileStore) -> None:
    assert store.names() == [MARK]
    payload = Payload("a", 0, 0, "a-0-0-0123456789ab.cae66941d9efbd404e4d88758ea67670")
    server.overwrite(f"run-1/{payload.external}", b"")
    assert store.read(payload) == b""


def test_an_object_that_was_changed_is_an_error_that_names_it(server: S3Server, store: FileStore) -> None:
    payload = Payload("a", 0, 0, store.write("a", 0, 0, b"rows"))
    server.overwrite(f"run-1/{payload.external}", b"others")
    with pytest.raises(PayloadCorrupt, match=f"{URL}/{payload.external} was changed or truncated"):
        store.read(payload)
    store.delete([str(payload.external)])
    with pytest.raises(PayloadMissing, match=f"{URL}/{payload.external} is missing"):
        store.read(payload)


def test_a_bucket_that_is_not_there_is_not_made(server: S3Server, environment: None) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/run-1 cannot be written to: .*; create the bucket"):
        FileStore("s3://no-such-bucket/run-1").open("run-1")


def test_credentials_that_are_missing_are_asked_for(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreError, match=r"credentials come from the environment .AWS_ACCESS_KEY_ID") as error:
        FileStore(URL).open("run-1")
    assert not isinstance(error.value, StoreAway)


def test_a_server_that_is_away_for_a_while_is_waited_for(server: S3Server, environment: None) -> None:
    server.kill()
    with pytest.raises(StoreAway):
        FileStore(URL).write("a", 0, 0, b"rows")
    comes_back = threading.Timer(1.0, server.start)
    comes_back.start()
    store = FileStore(URL, patience=60.0)
    try:
        assert store.read(Payload("a", 0, 0, store.write("a", 0, 0, b"rows"))) == b"rows"
    finally:
        comes_back.join()


def test_a_command_whose_bucket_cannot_be_used_starts_nothing(
    harness: Harness, server: S3Server, environment: None
) -> None:
    code, said = harness.run(write_spec(harness), "--payloads", "s3://no-such-bucket")
    assert code == 2, said
    assert "--payloads: s3://no-such-bucket" in said
    assert "create the bucket first" in " ".join(said.split())
    assert not list((harness.folder / "cache").glob("*/*/run.json"))
