"""The users of `examples/acl/users.acl` may do what they must, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from common.broker.commits import Commits
from common.broker.connection import Connection
from common.broker.patience import Patience
from common.broker.spending import Spending
from common.broker.views import Views
from common.errors import BrokerError, Disconnected, NotPermitted
from common.llms.answers.broker_store import BrokerAnswerStore
from common.protocol.keys import RUNS, Keys
from common.protocol.usage import Usage
from tests.support.kept_answers import FAMILY, key, look, place, request
from tests.support.runs.broker import Run, batch, done, take
from tests.support.runs.harness import REPOSITORY
from tests.support.runs.roles import DOINGS, FILE, READ_ONLY_SINCE, Roles, users


def test_the_page_shows_the_file() -> None:
    assert f"```\n{FILE.read_text()}```\n" in (REPOSITORY / "docs" / "security.md").read_text()


@pytest.mark.parametrize("role", list(DOINGS))
def test_a_role_may_do_what_it_has_to(roles: Roles, role: str) -> None:
    DOINGS[role](Run(roles.url), roles.url_of(role))
    assert roles.refused() == []


@pytest.mark.parametrize(
    ("role", "rule"), [(role, rule) for role, user in users().items() for rule in user.granted if rule != "+ping"]
)
def test_a_role_needs_each_thing_that_it_may_do(roles: Roles, role: str, rule: str) -> None:
    user = users()[role]
    roles.set(user, [kept for kept in user.rules if kept != rule])
    with pytest.raises(BrokerError) as refused:
        DOINGS[role](Run(roles.url), roles.url_of(role))
    assert isinstance(refused.value, NotPermitted), refused.value
    assert "docs/security.md" in str(refused.value)


def test_a_worker_that_may_not_note_what_it_spends_commits_nevertheless(
    roles: Roles, caplog: pytest.LogCaptureFixture
) -> None:
    """As with users of an earlier version; it says so once."""
    user = users()["worker"]
    roles.set(user, [kept for kept in user.rules if kept != "~penstock:{*}:spent"])
    run = Run(roles.url)
    run.dispatch(batch(0), batch(1))
    worker = run.worker("w1", url=roles.url_of("worker"))
    spending = Spending(worker.consumer, lambda: Usage.of_call("m"))
    commits = Commits(worker.consumer, spending)
    assert [commits.commit([done(one)]) for one in take(worker, 2)] == [[True], [True]]
    spending.write(last=True)
    assert len(run.journal()) == 2
    assert caplog.text.count("what this worker spends on models is not counted") == 1


@pytest.mark.parametrize("missing", ["~penstock:{answers:*}:*", "+zadd"])
def test_a_worker_that_may_not_keep_answers_asks_each_time_and_says_so_once(
    roles: Roles, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """As with users of an earlier version."""
    user = users()["worker"]
    roles.set(user, [kept for kept in user.rules if kept != missing])
    store = BrokerAnswerStore(roles.url_of("worker"), "run", "", 1 << 20, 60)
    for number in range(3):
        asked = key(f"prompt {number}")
        assert look(store, asked, place(str(number))) is None
        store.keep(asked, place(str(number)), FAMILY, request(f"prompt {number}"), b"x")
    store.close()
    assert caplog.text.count("the run continues without them") == 1
    assert "docs/security.md" in caplog.text


def refused(url: str, *command: Any) -> bool:
    """Whether the broker refuses this to the user before it looks at anything else."""
    with redis.Redis.from_url(url) as client:
        try:
            client.execute_command(*command)
        except redis.exceptions.NoPermissionError:
            return True
        return False


RUN = Keys("run-1")
ADMINISTRATION: list[tuple[Any, ...]] = [
    *(("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"), ("SHUTDOWN",)),
    *(("KEYS", "*"), ("ACL", "LIST"), ("ACL", "SETUSER", "x"), ("SCRIPT", "FLUSH"), ("MONITOR",), ("CLIENT", "LIST")),
    *(("EVAL", "return 1", 0), ("SAVE",), ("REPLICAOF", "NO", "ONE"), ("CLUSTER", "INFO")),
    *(("SELECT", "1"), ("SWAPDB", 0, 1), ("RENAME", "a", "b"), ("PUBLISH", "a", "b"), ("SUBSCRIBE", "a")),
]
OTHERS: list[tuple[Any, ...]] = [
    *(("GET", "secret"), ("HGETALL", "session:1"), ("MGET", "penstock:runs-of-another"), ("XRANGE", "x", "-", "+")),
    *(("GET", "penstock"), ("EXISTS", "celery")),
]


@pytest.mark.parametrize("role", list(DOINGS))
@pytest.mark.parametrize("command", ADMINISTRATION, ids=lambda command: " ".join(map(str, command)))
def test_no_role_administers_the_broker(roles: Roles, role: str, command: tuple[Any, ...]) -> None:
    assert refused(roles.url_of(role), *command)


@pytest.mark.parametrize("role", list(DOINGS))
@pytest.mark.parametrize("command", OTHERS, ids=lambda command: " ".join(map(str, command)))
def test_no_role_sees_the_keys_of_others(roles: Roles, role: str, command: tuple[Any, ...]) -> None:
    if command[1] == "penstock:runs-of-another" and role != "worker":
        pytest.skip("all keys that begin with penstock: are this role's")
    assert refused(roles.url_of(role), *command)


@pytest.mark.parametrize(
    "command",
    [
        *(("SREM", RUNS, "run-1"), ("SCAN", "0"), ("PERSIST", RUN.run)),
        *(("XREAD", "STREAMS", RUN.journal, "0"), ("XGROUP", "DESTROY", RUN.inputs("a"), "workers")),
        *(("XGROUP", "CREATE", RUN.inputs("a"), "mine", "0"), ("XTRIM", RUN.journal, "MAXLEN", "0")),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_a_worker_does_nothing_that_only_a_coordinator_does(roles: Roles, command: tuple[Any, ...]) -> None:
    assert refused(roles.url_of("worker"), *command)


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", RUN.run, "spec", "{}"),
        ("HSET", RUN.run, "status", "complete"),
        ("HDEL", RUN.run, "spec"),
        ("HINCRBY", RUN.run, "takeovers", 1),
        ("DEL", RUN.run),
        ("UNLINK", RUN.run),
        ("PEXPIRE", RUN.run, 1),
        *(("SET", RUN.lease, "me", "PX", 1000), ("DEL", RUN.lease), ("PEXPIRE", RUN.lease, 1), ("UNLINK", RUN.lease)),
        ("DEL", RUNS),
        ("SADD", RUNS, "run-1"),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_a_worker_does_not_write_what_a_coordinator_decides(roles: Roles, command: tuple[Any, ...]) -> None:
    if roles.version < READ_ONLY_SINCE:
        pytest.skip(f"version {roles.version} knows no keys that may only be read (Redis 7 and Valkey do)")
    assert refused(roles.url_of("worker"), *command)


@pytest.mark.parametrize("script", ["take_over", "update_run", "finish", "renew_lease", "journal", "publish_view"])
def test_a_worker_runs_no_script_of_the_coordinator(roles: Roles, script: str) -> None:
    run = Run(roles.url)
    as_worker_connection = Connection(roles.url_of("worker"))
    as_worker = run.coordinator(url=roles.url_of("worker"))
    as_worker.epoch = run.control.epoch
    before = run.everything()
    if roles.version < READ_ONLY_SINCE:
        pytest.skip(f"version {roles.version} knows no keys that may only be read (Redis 7 and Valkey do)")
    acts = {
        "take_over": as_worker.take_over,
        "update_run": lambda: as_worker.update(spec="{}"),
        "finish": lambda: as_worker.finish("complete", ["a"]),
        "renew_lease": as_worker.renew,
        "journal": lambda: as_worker.append([]),
        "publish_view": lambda: Views(as_worker_connection, run.run_id).publish(as_worker.epoch, b"v", b"p", [1]),
    }
    with pytest.raises(NotPermitted, match=f"the script {script} on penstock"):
        acts[script]()
    assert run.everything() == before


@pytest.mark.parametrize(
    "command",
    [
        *(("SET", RUN.lease, "x"), ("DEL", RUN.run), ("HSET", RUN.run, "want", "stop"), ("XADD", RUN.log, "*", "m", 1)),
        *(("SADD", RUNS, "x"), ("EVALSHA", "0" * 40, 0), ("SCRIPT", "LOAD", "return 1"), ("EXPIRE", RUN.run, 1)),
        *(("XDEL", RUN.log, "1-0"), ("XREADGROUP", "GROUP", "workers", "x", "STREAMS", RUN.inputs("a"), ">")),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_a_dashboard_writes_nothing(roles: Roles, command: tuple[Any, ...]) -> None:
    assert refused(roles.url_of("dashboard"), *command)


# what is said


def test_a_command_that_is_refused_is_named_with_its_key(roles: Roles) -> None:
    connection = Connection(roles.url_of("worker"))
    with pytest.raises(NotPermitted) as caught:
        connection.command("SREM", RUNS, "x")
    assert f"refuses this user SREM {RUNS}: " in str(caught.value)
    assert "change-me" not in str(caught.value)


def test_a_wrong_password_and_none_are_named_at_once(roles: Roles) -> None:
    wrong = roles.url_of("worker").replace("change-me-worker", "wrong")
    with pytest.raises(NotPermitted, match=r"WRONGPASS|invalid username-password"):
        Patience(Connection(wrong), 60).reach()
    roles.admin.execute_command("ACL", "SETUSER", "default", "off")
    try:
        with pytest.raises(NotPermitted, match=r"docs/security\.md"):
            Patience(Connection(roles.url), 60).reach()
    finally:
        roles.admin.execute_command("ACL", "SETUSER", "default", "on")


def test_a_refusal_is_not_waited_for(roles: Roles) -> None:
    assert not issubclass(NotPermitted, Disconnected)
