"""The file of kept answers: its faults, none of which costs a row, its place and its size."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.llms.answers import housekeeping
from common.llms.answers.answers_file import answers_file, file_system_of
from common.llms.answers.database import FORMAT, connect
from common.llms.answers.kept import Answers
from common.llms.answers.request_key import Family, parts_of, request_key
from tests.support.kept_answers import FAMILY, keep, key, look, opened, place, reply, request

# the key


def test_the_key_is_that_of_the_body_the_api_and_the_model() -> None:
    assert key("a") == key("a", stream=True, stream_options={"include_usage": True}, user="me")
    turned = dict(reversed(request("a").items()))
    assert request_key(FAMILY, turned) == key("a")
    others = [
        key("b"),
        key("a", temperature=0.1),
        key("a", response_format={"type": "json_object"}),
        request_key(Family("/messages", "m"), request("a")),
        request_key(Family("/chat/completions", "other"), request("a")),
        request_key(Family("/chat/completions", "m", "my server"), request("a")),
    ]
    assert len({key("a"), *others}) == 7


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )


# faults


def warned(caplog: pytest.LogCaptureFixture) -> str:
    messages = [record.getMessage() for record in caplog.records if record.name == "penstock.llm"]
    assert len(messages) == 1
    assert "the run continues without them" in messages[0]
    return messages[0]


def use(store: Answers, prompts: int = 3) -> list[str | None]:
    found = []
    for number in range(prompts):
        found.append(reply(look(store, key(str(number)), place(str(number)))))
        if found[-1] is None:
            store.reject(store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), b"x"))
    return found


def test_a_file_that_is_none_of_ours_is_left_alone_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers_file(tmp_path).write_bytes(b"my thesis " * 1000)
    with opened(tmp_path) as store:
        assert use(store) == [None] * 3
    assert "not a database" in warned(caplog)
    assert answers_file(tmp_path).read_bytes() == b"my thesis " * 1000


@pytest.mark.parametrize("statement", [f"PRAGMA user_version = {FORMAT + 1}", "PRAGMA application_id = 7"])
def test_another_format_is_left_alone_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    with opened(tmp_path) as store:
        use(store)
    with closing(sqlite3.connect(answers_file(tmp_path))) as connection:
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = answers_file(tmp_path).read_bytes()
    with opened(tmp_path) as store:
        assert use(store) == [None] * 3
    assert "format" in (said := warned(caplog)) or "other than Penstock" in said
    assert answers_file(tmp_path).read_bytes() == before


def damage_pages(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("damage", [damage_pages, truncate])
def test_a_damaged_file_switches_the_answers_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    with opened(tmp_path) as store:
        use(store, 500)
    damage(answers_file(tmp_path))
    with opened(tmp_path) as store:
        assert use(store, 500)[-1] is None
    assert "malformed" in warned(caplog) or "not a database" in warned(caplog)


FULL = """
import os, resource, sys, logging
from tests.support.kept_answers import FAMILY, key, look, place, request, store_at
logging.basicConfig(stream=sys.stdout, format="%(message)s")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = store_at(sys.argv[1])
for number in range(2000):
    if look(store, key(str(number)), place(str(number))) is None:
        store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), os.urandom(2000))
store.close()
print("survived")
"""


def test_a_full_disk_switches_the_answers_off_and_what_was_kept_before_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, "0", "0", "x")
    said, _ = run_python(FULL, str(tmp_path)).communicate(timeout=60)
    assert said.count("the run continues without them") == 1
    assert said.endswith("survived\n")
    with opened(tmp_path) as store:
        assert look(store, key("0"), place("0")) is not None


READ_ONLY = """
import sys, os, logging
from tests.support.kept_answers import store_at
from tests.unit.llms.test_answers_file import use
logging.basicConfig(stream=sys.stdout, format="%(message)s")
if os.geteuid() == 0:
    os.setuid(65534)
store = store_at(sys.argv[1])
assert use(store) == [None] * 3
store.close()
print("survived")
"""


@pytest.mark.parametrize("has_file", [False, True])
def test_a_read_only_folder_switches_the_answers_off(has_file: bool) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        if has_file:
            with opened(folder) as store:
                use(store)
            answers_file(folder).chmod(0o444)
        folder.chmod(0o555)
        said, _ = run_python(READ_ONLY, name).communicate(timeout=60)
        folder.chmod(0o755)
    assert said.count("the run continues without them") == 1
    assert said.endswith("survived\n")


def test_a_file_that_another_process_holds_is_a_miss_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("common.llms.answers.store._WAIT", 0.05)
    with opened(tmp_path) as store:
        keep(store, "a", "1", "yes")
    with opened(tmp_path, "later") as store:
        assert look(store, key("b"), place("1")) is None
        with closing(sqlite3.connect(answers_file(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert look(store, key("a"), place("later")) is None
        assert reply(look(store, key("a"), place("later"))) == "yes"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# where

MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/root rw
22 21 0:20 / /proc rw shared:13 - proc proc rw
40 21 0:41 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2
41 40 254:1 / /home/me/my\\040disk rw - xfs /dev/sdb rw
42 21 0:50 / /home2 rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/cache", "ext4"),
        ("/home/me/.cache", "nfs4"),
        ("/home/me/my disk/cache", "xfs"),
        ("/home2/me", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind
    assert file_system_of(Path(path), "") == ""


def test_on_a_file_system_of_several_hosts_each_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 1 0:41 / {tmp_path} rw - nfs4 server:/ rw\n")
    assert answers_file(tmp_path).name == "answers.sqlite"
    monkeypatch.setattr("common.llms.answers.answers_file.MOUNTS", mounts)
    names = set()
    for host in ("node-1", "node-2"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        names.add(answers_file(tmp_path).name)
    assert names == {"answers-node-1.sqlite", "answers-node-2.sqlite"}


# size


def test_the_oldest_answers_are_deleted_when_a_worker_opens_a_file_above_its_budget(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(3000):
            look(store, key(str(number)), place(str(number)))
            store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), os.urandom(500))
    size = answers_file(tmp_path).stat().st_size
    with opened(tmp_path, budget=size // 2) as store:
        assert look(store, key("x"), place("x")) is None
    with closing(connect(answers_file(tmp_path), 1.0)) as connection:
        assert housekeeping.used_bytes(connection) <= size // 2
        housekeeping.shrink(connection)
        (claims,) = connection.execute("SELECT count(*) FROM claims").fetchone()
        [group] = housekeeping.groups(connection)
        assert 0 < group.answers == claims < 3000
    assert answers_file(tmp_path).stat().st_size <= size // 2
    with opened(tmp_path) as store:
        assert look(store, key("0"), place("0")) is None
        assert look(store, key("2999"), place("2999")) is not None


def test_the_nearest_requests_say_which_parts_differ(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for prompt in ("a", "b"):
            look(store, key(prompt, temperature=0.7), place(prompt))
            store.keep(key(prompt), place(prompt), FAMILY, request(prompt, temperature=0.7, top_p=1), b"x")
        look(store, key("c"), place("c"))
        store.keep(key("c"), place("c"), FAMILY, request("c", seed=1), b"x")
    asked = parts_of(FAMILY, request("a", temperature=0.2, top_p=1))
    with closing(connect(answers_file(tmp_path), 1.0)) as connection:
        [near] = housekeeping.nearest(housekeeping.requests(connection), asked, with_prompt=False)
        assert (near.answers, near.differs) == (2, {"temperature": ("0.7", "0.2")})
        [near] = housekeeping.nearest(housekeeping.requests(connection), asked, with_prompt=True)
        assert (near.answers, near.differs) == (1, {"temperature": ("0.7", "0.2")})


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "cache") as store:
        use(store)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_claim_whose_answer_was_deleted_leads_to_no_other_answer(tmp_path: Path) -> None:
    """As when a worker keeps an answer while another process deletes all: numbers of answers come again."""
    with opened(tmp_path) as store:
        for number in range(5):
            keep(store, f"old {number}", f"old {number}", f"old answer {number}")
    with closing(sqlite3.connect(answers_file(tmp_path))) as connection, connection:
        connection.execute("DELETE FROM answers")
    with opened(tmp_path, "other") as store:
        for number in range(3):
            keep(store, f"new {number}", f"other {number}", f"new answer {number}")
    with opened(tmp_path) as store:
        for number in range(5):
            keep(store, f"old {number}", f"old {number}", f"newer answer {number}")
        for number in range(3):
            keep(store, f"third {number}", f"third {number}", f"third answer {number}")
    with opened(tmp_path) as store:
        assert [reply(look(store, key(f"old {n}"), place(f"old {n}"))) for n in range(5)] == [
            f"newer answer {n}" for n in range(5)
        ]
        assert reply(look(store, key("third 2"), place("third 2"))) == "third answer 2"
