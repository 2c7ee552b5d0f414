"""The users of `examples/acl/users.acl` at a Redis of the tests, and everything that each of them does at a broker."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis

from common.broker.answers import AnswersInBroker, AnswersOfBroker, NewAnswer, run_mark
from common.broker.connection import NO_KEY, Connection
from common.broker.consumer import Consumer
from common.broker.control import Tick
from common.broker.devices import DeviceHolder, DeviceLeases
from common.broker.reports import Reports
from common.broker.runs import RunRegistry
from common.broker.spending import Spending
from common.broker.views import Views
from common.protocol.batch import Payload, Reopened
from common.protocol.keys import RUNS, device_key
from common.protocol.usage import Usage
from common.protocol.wire import PROTOCOL
from coordinator.runs.removal import old_at_broker
from tests.support.runs.broker import LEASE, Run, Worker, batch, done, letter, made, part, take, tickets
from tests.support.runs.harness import REPOSITORY

FILE = REPOSITORY / "examples" / "acl" / "users.acl"
READ_ONLY_SINCE = 7
"""The first version that knows keys that may only be read (`%R~`)."""
DEVICES = [device_key("host", "0"), device_key("host", "1")]


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file, such as ("penstock-worker", ["on", ">password", "~penstock:*", "+get"])."""

    name: str
    rules: list[str]

    @property
    def granted(self) -> list[str]:
        """Commands and key patterns."""
        return [rule for rule in self.rules if rule[0] in "+~%"]

    @property
    def password(self) -> str:
        return next(rule[1:] for rule in self.rules if rule[0] == ">")


def users() -> dict[str, User]:
    """Those of the file, by role: coordinator, worker, dashboard."""
    lines = [line.split() for line in FILE.read_text().splitlines()]
    assert all(line[0] == "user" for line in lines)
    return {name.removeprefix("penstock-"): User(name, rules) for _, name, *rules in lines if name != "default"}


class Roles:
    """The users at a server that the tests may change.

    Args:
        url: as the default user, who may do everything.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = redis.Redis.from_url(url, decode_responses=True)
        self.version = int(self.admin.info("server")["redis_version"].partition(".")[0])
        for user in users().values():
            self.set(user, user.rules)

    def set(self, user: User, rules: list[str]) -> None:
        """Replaces the user by one with these rules; an old server has keys that may be read and written only."""
        known = [rule if self.version >= READ_ONLY_SINCE else rule.replace("%R~", "~") for rule in rules]
        self.admin.execute_command("ACL", "SETUSER", user.name, "reset", *known)

    def url_of(self, role: str) -> str:
        """The broker as this role reaches it."""
        user, target = users()[role], urlsplit(self.url)
        host = "" if target.scheme == "unix" else target.netloc.rpartition("@")[2]
        return f"{target.scheme}://{user.name}:{user.password}@{host}{target.path}"

    def refused(self) -> list[str]:
        """What the broker has refused to any user; but for the client's name, which does not matter."""
        log = self.admin.execute_command("ACL", "LOG")
        entries = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in log]
        return [one["object"] for one in entries if not one["object"].startswith("client")]

    def remove(self) -> None:
        self.admin.execute_command("ACL", "DELUSER", *(user.name for user in users().values()))
        self.admin.close()


def do_worker(admin: Run, url: str) -> None:
    """All that a worker, its keeper and its supervisor do, in runs that `admin` coordinates."""
    connection = Connection(url)
    connection.command("UNLINK", NO_KEY)
    connection.check()
    registry = RunRegistry(connection)
    admin.control.update(status="starting", spec='{"steps": {}}', protocol=PROTOCOL, pipeline="p")
    RunRegistry(admin.connection).add(admin.run_id)
    assert [record.run_id for record in registry.all()] == [admin.run_id]
    registry.status(admin.run_id), registry.stage(admin.run_id)
    assert registry.is_coordinated(admin.run_id)
    one, two, generator = worker(admin, connection, "a"), worker(admin, connection, "a"), worker(admin, connection, "g")
    assert one.notes.describe(b"what it is") == b"what it is"
    registry.workers(admin.run_id)
    one.membership.tell({"step": "a"}), one.notes.note_loaded(), one.notes.note_columns(), one.notes.columns_noted()
    one.log.send([b"line"])
    assert one.consumer.is_of_this_run()
    admin.dispatch(*(batch(seq) for seq in range(5)))
    admin.dispatch(batch(5, slices=1_500))
    first, second, third, fourth = take(one, 4)
    one.staging.stage(first, Payload("a", 99), b"rows")
    one.payloads.read([Payload("a", 99)])
    one.staging.unstage(first, [Payload("a", 99)])
    one.isolation.note(first, running=1), one.isolation.read(first.batch)
    one.commits.commit([done(first, b"rows", (letter(),))])
    connection.batch(Spending(one.consumer, lambda: Usage.of_call("m")).calls())
    one.inbox.hand_back([second])
    two.inbox.silent_workers(), two.consumer.dead_workers(), one.inbox.pending()
    admin.connection.command("XADD", admin.keys.inputs("a"), "*", "m", b"no batch")
    two.inbox.read(10, 0.001)
    ticket, other, void = tickets(admin, generator, 3)
    generator.generator.own()
    generator.generator.commit([made(ticket, 0, 5)])
    generator.generator.commit([made(other, 1, 9, last=True)])
    generator.generator.void([void.entry])
    keep(connection, admin, one)
    assert [taken.entry for taken in two.inbox.claim(one.worker_id, 5)] == [third.entry, fourth.entry]
    two.inbox.hand_back(two.inbox.pending())
    two.membership.leave(), generator.membership.leave()
    use_answers(connection, admin.run_id)
    leases = DeviceLeases(connection, DeviceHolder("r", "a", "w", 1, 1).dump(), LEASE)
    taken, _ = leases.take(DEVICES)
    leases.renew(DEVICES), leases.others(DEVICES), leases.release(taken)


def worker(admin: Run, connection: Connection, step: str) -> Worker:
    number = admin.connection.command("HINCRBY", "penstock:test:numbers", "worker", 1)
    made = Worker(Consumer(connection, admin.run_id, step, f"w{number}"))
    made.membership.join({"step": step, "host": "here", "pid": 1})
    return made


def use_answers(connection: Connection, run: str) -> None:
    """As a worker does that keeps answers of models in the broker."""
    answers, request = AnswersInBroker(connection, run_mark(run, ""), 60), secrets.token_bytes(16)
    [number], _ = answers.keep([NewAnswer(request, b"place", 0, "m", b"{}", b"yes")])
    answers.find([(request, b"place", 0), (request, b"another", 0)]), answers.reject([number])
    AnswersOfBroker(connection).most(0), AnswersOfBroker(connection).keep_within(0)


def keep(connection: Connection, admin: Run, of: Worker) -> None:
    """As the keeper of a worker's lease does (`worker/life/lease.py`), until the worker is dead."""
    key = admin.keys.worker(of.worker_id)
    connection.command("PEXPIRE", key, 1000)
    connection.command("DEL", key)
    connection.command("SADD", admin.keys.dead, of.worker_id)
    connection.command("EXPIRE", admin.keys.dead, 60)


def do_coordinator(admin: Run, url: str) -> None:
    """All that a coordinator does, local workers included, and the commands that change runs."""
    run = Run(url)
    run.connection.command("UNLINK", NO_KEY)
    run.connection.check()
    registry = RunRegistry(run.connection)
    run.control.update(spec='{"steps": {}}', protocol=PROTOCOL, pipeline="p")
    registry.add(run.run_id), registry.add(run.run_id)
    run.control.renew(), run.control.journal.marks(run.steps), run.control.descriptors(["a"])
    run.control.forget_descriptors(["a"])
    do_worker(run, url)
    run.control.journal.read(0, 10, 0.001), run.control.append([Reopened()])
    run.control.part_written(part(), [Payload("a", 0)], [letter()])
    run.control.tick(Tick(redo=[batch(0, 1)], release=[Payload("a", 1)], cursor=1))
    Views(run.connection, run.run_id).publish(run.control.epoch, b"view", b"point", [1, 10], expires=60)
    letters = run.reports.letters()[1]
    run.reports.drop(run.keys.failed, letters)
    run.control.payloads.read([Payload("a", 0)]), run.control.want()
    registry.ask_to_stop(run.run_id)
    do_dashboard(run, url)
    dead = worker(run, run.connection, "a")
    run.dispatch(*(batch(seq) for seq in range(6, 8)))
    dead.inbox.read(1, 0)
    run.control.in_hand(run.steps)
    assert run.control.reclaim(run.steps) == 1
    run.die(dead)
    run.control.forget_workers()
    run.control.resign()
    run.control.take_over()
    run.control.finish("complete", run.steps, keep=60)
    registry.delete(run.run_id)


def do_dashboard(admin: Run, url: str) -> None:
    """All that shows how runs are: `status`, `runs`, `gc --dry-run`, and the streams that there are to follow."""
    connection = Connection(url)
    connection.facts()
    admin.connection.command("HSET", admin.keys.run, "spec", '{"steps": {}}', "protocol", PROTOCOL)
    admin.connection.command("SADD", RUNS, admin.run_id)
    registry = RunRegistry(connection)
    registry.read(admin.run_id), registry.status(admin.run_id), registry.stage(admin.run_id)
    registry.lease_holder(admin.run_id), registry.workers(admin.run_id)
    registry.loaded_steps(admin.run_id, list(admin.steps)), registry.waiting(admin.run_id, list(admin.steps))
    admin.worker("shown")
    registry.workers(admin.run_id)
    list(old_at_broker(url, 0, unfinished=True, here=()))
    control = admin.coordinator(url=url)
    views = Views(connection, admin.run_id)
    views.read(), views.history(1)
    control.journal.read(0, 10), Reports(connection, admin.run_id).log(), control.in_hand(admin.steps)


DOINGS: dict[str, Callable[[Run, str], None]] = {
    "coordinator": do_coordinator,
    "worker": do_worker,
    "dashboard": do_dashboard,
}
