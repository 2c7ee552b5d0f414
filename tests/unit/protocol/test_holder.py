"""Who holds a lease or a lock: what is written is read again, and foreign data name no holder."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.protocol.holder import Holder

words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
holders = st.builds(
    Holder,
    st.integers(1, 1 << 22),
    words,
    token=words,
    directory=words,
    inode=st.none() | st.integers(0, 1 << 63),
    removes=st.booleans(),
)


@given(holders)
def test_what_a_lease_holds_is_read_again(holder: Holder) -> None:
    assert Holder.parse(holder.dump().encode()) == holder


@given(holders)
def test_a_lock_names_the_same_process_as_the_lease(holder: Holder) -> None:
    in_lock = Holder.named(f"{holder}\n")
    assert str(in_lock) == str(holder)
    assert in_lock.has_name_of(holder)
    assert not in_lock.has_name_of(Holder(in_lock.pid, f"{in_lock.host}-2"))


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(words, st.none() | words)))
@example(b"\xff")
@example(b"[]")
@example(b'{"pid": "4711", "host": "gpu-2"}')
@example(b'{"pid": 4711}')
def test_what_something_else_has_written_names_nobody(held: bytes) -> None:
    assert str(Holder.parse(held)) == "another process"


@pytest.mark.parametrize("name", ["", "\n", "process x on y", "process 5 on ", "nonsense"])
def test_a_lock_with_something_else_in_it_names_nobody(name: str) -> None:
    assert str(Holder.named(name)) == "another process"


def test_a_name_cannot_write_to_a_terminal() -> None:
    assert str(Holder.parse(b'{"pid": 1, "host": "\\u001b[2Jgpu\\n2"}')) == "process 1 on gpu 2"


def test_a_process_that_has_no_run_directory_says_nothing_of_one() -> None:
    assert json.loads(Holder(4711, "gpu-2", "t").dump()) == {"token": "t", "pid": 4711, "host": "gpu-2"}


def test_who_cannot_have_a_run_is_told_how_to_get_it() -> None:
    holder = Holder(4711, "gpu-2")
    assert holder.has_run("r").endswith("process 4711 on gpu-2; stop it with: pipeline-coordinator stop r")
    assert holder.has_run("r", "/a/b").endswith("pipeline-coordinator stop /a/b")
    removing = Holder(4711, "gpu-2", removes=True).has_run("r")
    assert removing == "run 'r' is being removed by process 4711 on gpu-2; try again when that is done"
