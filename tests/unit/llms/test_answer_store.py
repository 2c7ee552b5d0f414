"""The store of kept answers: what it finds, whose it is, and that no fault of its file costs a row."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from common.llms.answers import housekeeping
from common.llms.answers.answers_file import answers_file, file_system_of
from common.llms.answers.database import FORMAT, connect
from common.llms.answers.kept import Found, Place
from common.llms.answers.request_key import KEY_BYTES, Family, parts_of, request_key
from common.llms.answers.store import AnswerStore
from tests.support.kept_answers import look

FAMILY = Family("/chat/completions", "m")
BUDGET = 1 << 30


def request(prompt: str, **options: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **options}


def key(prompt: str, **options: object) -> bytes:
    return request_key(FAMILY, request(prompt, **options))


def place(name: str, attempt: int = 0) -> Place:
    return Place(hashlib.blake2b(name.encode(), digest_size=KEY_BYTES).digest(), attempt)


@contextmanager
def opened(folder: Path, run: str = "run", budget: int = BUDGET) -> Iterator[AnswerStore]:
    store = AnswerStore(answers_file(folder), run, "begun", budget)
    try:
        yield store
    finally:
        store.close()


def keep(store: AnswerStore, prompt: str, where: str, reply: str, attempt: int = 0) -> None:
    assert look(store, key(prompt), place(where, attempt)) is None
    store.keep(key(prompt), place(where, attempt), FAMILY, request(prompt), reply.encode())


def reply(found: Found | None) -> str | None:
    return found.reply.decode() if found is not None else None


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


# finding


def test_a_place_finds_its_own_answer_before_it_is_on_disk_and_after(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, "a", "1", "yes")
        assert reply(look(store, key("a"), place("1"))) == "yes"
    with opened(tmp_path) as store:
        found = look(store, key("a"), place("1"))
        assert found is not None
        assert (found.reply, found.is_own) == (b"yes", True)


def test_another_run_finds_the_answers_of_an_earlier_one_one_for_each_place(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for name in ("1", "2"):
            keep(store, "a", name, f"answer {name}")
    with opened(tmp_path, "later") as store:
        found = [look(store, key("a"), place(f"later {name}")) for name in range(3)]
        assert [reply(one) for one in found] == ["answer 1", "answer 2", None]
        assert [one.is_own for one in found if one] == [False, False]
        again = [reply(look(store, key("a"), place(f"later {name}"))) for name in range(2)]
        assert again == ["answer 1", "answer 2"]


def test_equal_prompts_of_one_run_are_not_given_each_others_answers(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, "a", "1", "first")
    with opened(tmp_path) as store:
        keep(store, "a", "2", "second")
        assert reply(look(store, key("a"), place("1"))) == "first"


def test_a_rejected_answer_is_found_by_its_place_alone_and_not_once_the_run_was_resumed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, "a", "1", "bad")
        found = look(store, key("a"), place("1"))
        assert found is not None
        store.reject(found.kept)
        assert reply(look(store, key("a"), place("1"))) == "bad"
        assert look(store, key("a"), place("1", attempt=1)) is None
    with opened(tmp_path) as store:
        assert reply(look(store, key("a"), place("1"))) == "bad"
        keep(store, "a", "1", "good", attempt=1)
        assert reply(look(store, key("a"), place("1", attempt=1))) == "good"
    with opened(tmp_path, "later") as store:
        assert reply(look(store, key("a"), place("later"))) == "good"
        assert look(store, key("a"), place("later 2")) is None


def test_of_two_answers_for_one_place_the_first_stays(tmp_path: Path) -> None:
    """As when a batch was delivered twice."""
    with opened(tmp_path) as one, opened(tmp_path) as other:
        assert look(other, key("a"), place("1")) is None
        keep(one, "a", "1", "first")
        one.close()
        other.keep(key("a"), place("1"), FAMILY, request("a"), b"second")
    with opened(tmp_path) as store:
        assert reply(look(store, key("a"), place("1"))) == "first"


class Claims(RuleBasedStateMachine):
    """Two runs of two workers each, beside dicts that say what each place must find."""

    places = st.integers(0, 3)
    runs = st.sampled_from(["one", "two"])
    prompts = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.stores = {(run, n): self.store(run) for run in ("one", "two") for n in (0, 1)}
        self.answers: dict[str, list[str]] = {"a": [], "b": []}
        self.rejected: set[str] = set()
        self.claims: dict[tuple[str, str, int], str] = {}
        self.paid = 0

    def store(self, run: str) -> AnswerStore:
        return AnswerStore(answers_file(Path(self.folder.name)), run, "begun", BUDGET)

    def teardown(self) -> None:
        for store in self.stores.values():
            store.close()
        self.folder.cleanup()

    @rule(run=runs, worker=st.integers(0, 1), prompt=prompts, number=places, bad=st.booleans())
    def ask(self, run: str, worker: int, prompt: str, number: int, bad: bool) -> None:
        store, where = self.stores[run, worker], place(f"{run} {prompt} {number}")
        found = look(store, key(prompt), where)
        mine = self.claims.get((run, prompt, number))
        taken = {answer for (other, _, _), answer in self.claims.items() if other == run}
        free = [one for one in self.answers[prompt] if one not in taken and one not in self.rejected]
        expected = mine or next(iter(free), None)
        assert reply(found) == expected
        if found is None:
            self.paid += 1
            expected = f"{run}: {self.paid}"
            kept = store.keep(key(prompt), where, FAMILY, request(prompt), expected.encode())
            self.answers[prompt].append(expected)
        else:
            assert found.is_own == reply(found).startswith(run)
            kept = found.kept
        assert expected is not None
        self.claims[run, prompt, number] = expected
        if bad:
            store.reject(kept)
            self.rejected.add(expected)
        # Another worker knows of an answer once it is committed.
        store.close()
        self.stores[run, worker] = self.store(run)

    @invariant()
    def no_answer_is_in_two_places_of_a_run(self) -> None:
        for run in ("one", "two"):
            mine = [answer for (other, _, _), answer in self.claims.items() if other == run]
            assert len(mine) == len(set(mine))


Claims.TestCase.settings = hypothesis_settings(max_examples=20, stateful_step_count=20, deadline=None)
TestClaims = Claims.TestCase


WORKER = """
import sys
from pathlib import Path
from tests.support.kept_answers import look
from tests.unit.llms.test_answer_store import BUDGET, FAMILY, answers_file, key, place, request, AnswerStore
store = AnswerStore(answers_file(Path(sys.argv[1])), "later", "begun", BUDGET)
for number in range(200):
    found = look(store, key("a"), place(f"{sys.argv[2]} {number}"))
    print(found.reply.decode() if found else "paid", flush=True)
    if found is None:
        store.keep(key("a"), place(f"{sys.argv[2]} {number}"), FAMILY, request("a"), b"new")
store.close()
"""


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )


def test_two_workers_at_once_never_take_the_same_answer(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for number in range(300):
            keep(store, "a", str(number), str(number))
    workers = [run_python(WORKER, str(tmp_path), name) for name in ("x", "y")]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    found = [line for lines in said for line in lines if line != "paid"]
    assert sorted(found, key=int) == [str(number) for number in range(300)]
    assert sum(map(len, said)) == 400


KILLED = """
import sys, time
from pathlib import Path
from tests.support.kept_answers import look
from tests.unit.llms.test_answer_store import BUDGET, FAMILY, answers_file, key, place, request, AnswerStore
store = AnswerStore(answers_file(Path(sys.argv[1])), "run", "begun", BUDGET)
number = 0
while True:
    look(store, key(str(number)), place(str(number)))
    store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), b"x")
    print(number, flush=True)
    number += 1
    time.sleep(0.01)
"""


def test_kill_minus_nine_loses_the_answers_of_the_last_moment_and_no_others(tmp_path: Path) -> None:
    worker = run_python(KILLED, str(tmp_path))
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(180)]
    worker.kill()
    lines += worker.stdout.readlines()
    worker.wait()
    worker.stdout.close()
    kept = [line.strip() for line in lines if line.endswith("\n")]
    with opened(tmp_path, "later") as store:
        lost = [number for number in kept if look(store, key(number), place(f"later {number}")) is None]
    assert len(kept) >= 180
    # Those of a tenth of a second, 10 of them, and as many that came while others were committed on a slow machine.
    assert len(lost) <= 30
    assert lost == kept[len(kept) - len(lost) :]


# faults


def warned(caplog: pytest.LogCaptureFixture) -> str:
    messages = [record.getMessage() for record in caplog.records if record.name == "penstock.llm"]
    assert len(messages) == 1
    assert "the run continues without them" in messages[0]
    return messages[0]


def use(store: AnswerStore, prompts: int = 3) -> list[str | None]:
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


def test_a_damaged_value_is_a_miss_and_the_next_answer_is_taken(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, "a", "1", "first")
        keep(store, "a", "2", "second")
    with closing(sqlite3.connect(answers_file(tmp_path))) as connection, connection:
        connection.execute("UPDATE answers SET reply = zeroblob(10) WHERE id = 1")
    with opened(tmp_path) as store:
        assert look(store, key("a"), place("1")) is None
    with opened(tmp_path, "later") as store:
        assert reply(look(store, key("a"), place("later"))) == "second"


FULL = """
import resource, sys, logging
from pathlib import Path
from tests.support.kept_answers import look
from tests.unit.llms.test_answer_store import BUDGET, FAMILY, answers_file, key, place, request, AnswerStore
import os
logging.basicConfig(stream=sys.stdout, format="%(message)s")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = AnswerStore(answers_file(Path(sys.argv[1])), "run", "begun", BUDGET)
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
from pathlib import Path
from tests.support.kept_answers import look
from tests.unit.llms.test_answer_store import BUDGET, answers_file, use, AnswerStore
logging.basicConfig(stream=sys.stdout, format="%(message)s")
if os.geteuid() == 0:
    os.setuid(65534)
store = AnswerStore(answers_file(Path(sys.argv[1])), "run", "begun", BUDGET)
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


def test_two_answers_for_one_place_that_are_committed_together_leave_it_the_first(tmp_path: Path) -> None:
    """As when two rows ask for the vector of one text at once: its place is that of the whole run."""
    with opened(tmp_path) as store:
        assert look(store, key("a"), place("1")) is None
        for text in (b"first", b"second"):
            store.keep(key("a"), place("1"), FAMILY, request("a"), text)
    with opened(tmp_path) as store:
        assert reply(look(store, key("a"), place("1"))) == "first"
        assert reply(look(store, key("a"), place("2"))) == "second"
