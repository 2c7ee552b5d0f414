"""What workers are told travels between versions of one protocol, and is read with care."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.protocol.run_options import ArtifactFolders, RowRoutingOptions, RunOptions

NAMES = st.from_regex(r"[a-z_-]{1,8}", fullmatch=True)
OF_0_1 = (
    '{"base_dir": "/data", "limit": 5, "dry_run": false, "files": {"/data/a.csv": "{}"}, '
    '"stages": [["a"], ["b", "c"]], "spill": ["a"], "routing": {"a": {"successors": ["b", "c"], "digest": "0f"}}, '
    '"digests": {"a": "1f"}, '
    '"models": {"b": ["gpt@host"]}, "described": ["b"], "undescribed": [], "unchecked": ["c"], '
    '"fingerprints": {"a": "x"}, "devices": {"a": 0, "b": [0, 1]}, "payloads": ["s3://b/rows"], '
    '"payloads_of_size": true, "artifacts": {"local": "/run/artifacts", "shared": null}}'
)


def test_what_version_0_1_wrote_is_read_and_written_alike() -> None:
    options = RunOptions.decode(OF_0_1.encode())
    assert options.stages == (("a",), ("b", "c"))
    assert options.routing["a"].successors == ("b", "c")
    assert options.artifacts.local == "/run/artifacts"
    later = {"counts_usage": False, "answers": {"kind": "sqlite", "folder": None}}
    assert json.loads(options.encode()) == json.loads(OF_0_1) | later
    assert set(json.loads(OF_0_1) | later) == {field.name for field in fields(RunOptions)}


@given(
    st.builds(
        RunOptions,
        limit=st.none() | st.integers(1),
        stages=st.lists(st.lists(NAMES).map(tuple)).map(tuple),
        routing=st.dictionaries(
            NAMES, st.builds(RowRoutingOptions, successors=st.lists(NAMES).map(tuple), digest=st.text())
        ),
        artifacts=st.builds(ArtifactFolders, shared=st.none() | st.text()),
        models=st.dictionaries(NAMES, st.lists(st.text()).map(tuple)),
        devices=st.dictionaries(NAMES, st.integers(0) | st.lists(st.integers(0))),
    )
)
def test_they_are_read_as_they_were_written(options: RunOptions) -> None:
    assert RunOptions.decode(options.encode().encode()) == options


def test_what_another_version_knows_or_does_not_know_is_no_mistake() -> None:
    assert RunOptions.decode(b'{"limit": 3, "of_later": [1], "artifacts": {"of_later": 1}}') == RunOptions(limit=3)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b'{"stages": [5, 5]}', "options.stages.0: "),
        (b'{"limit": "5"}', "options.limit: "),
        (b'{"spill": ["a/b"]}', "options.spill.0: "),
        (b'{"routing": {"a": {"successors": []}}}', "options.routing.a.digest: "),
        (b"[]", "options: "),
        (b"\xff{", "options: "),
        (b"[" * 100_000, "options: "),
    ],
)
def test_what_no_version_writes_is_refused_with_its_place(text: bytes, where: str) -> None:
    with pytest.raises(ValueError, match=f"^{where}"):
        RunOptions.decode(text)
