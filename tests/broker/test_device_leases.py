"""How workers of a host share its devices in the broker: all that they need or none, and no device for two at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from common.broker.connection import Connection
from common.broker.devices import DeviceHolder, DeviceLeases
from common.errors import Disconnected
from common.protocol.keys import device_key
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer

LEASE = 60.0


def keys(*devices: int) -> list[str]:
    return [device_key("host", str(device)) for device in devices]


@dataclass
class Host:
    """A host with three devices."""

    connection: Connection

    def worker(
        self,
        name: str,
        wants: int | list[str] = 1,
        *,
        step: str = "a",
        run: str = "run-1",
        beside: dict[str, int | list[str]] | None = None,
        lease: float = LEASE,
    ) -> DeviceLeases:
        holder = DeviceHolder(run, step, name, 1, wants, beside or {})
        return DeviceLeases(self.connection, holder.dump(), lease)

    def held(self) -> list[str]:
        """For each device, the worker that has it."""
        others = DeviceLeases(self.connection, "", LEASE).others(keys(0, 1, 2))
        return [others[key].worker if key in others else "" for key in keys(0, 1, 2)]


@pytest.fixture
def host(redis_url: str) -> Host:
    return Host(Connection(redis_url))


def took(leases: DeviceLeases, *devices: int) -> list[str]:
    return leases.take(keys(*devices or (0, 1, 2)))[0]


# taking


def test_a_worker_takes_the_first_devices_that_are_free(host: Host) -> None:
    assert took(host.worker("w1")) == keys(0)
    assert took(host.worker("w2", 2)) == keys(1, 2)
    assert host.held() == ["w1", "w2", "w2"]


def test_a_worker_takes_all_that_it_wants_or_none(host: Host) -> None:
    took(host.worker("w1", 2))
    taken, holders = host.worker("w2", 2).take(keys(0, 1, 2))
    assert taken == []
    assert [holder and holder.worker for holder in holders] == ["w1", "w1", None]
    assert host.held() == ["w1", "w1", ""]


def test_a_worker_takes_of_the_devices_that_it_may_use(host: Host) -> None:
    assert took(host.worker("w1"), 2, 1) == keys(2)
    assert took(host.worker("w2", 2), 1, 2) == []
    assert host.held() == ["", "", "w1"]


def test_a_worker_that_wants_certain_devices_takes_no_others(host: Host) -> None:
    took(host.worker("w1"))
    assert took(host.worker("w2", keys(0, 1))) == []
    assert took(host.worker("w3", keys(2, 1))) == keys(1, 2)


def test_a_worker_that_asks_again_has_what_it_has(host: Host) -> None:
    took(host.worker("w1"))
    second = host.worker("w2")
    assert took(second) == took(second) == keys(1)
    host.worker("w1").release(keys(0))
    assert took(second) == keys(1)
    assert host.held() == ["", "w2", ""]


def test_a_reply_that_is_lost_takes_nothing_twice(host: Host, redis_url: str) -> None:
    took(host.worker("w0"))  # so that the broker knows the script
    with Proxy(redis_url) as proxy:
        far = Host(Connection(proxy.url)).worker("w1")
        proxy.lose_reply(b"EVALSHA")
        with pytest.raises(Disconnected):
            far.take(keys(0, 1, 2))
        assert took(far) == keys(1)
    assert host.held() == ["w0", "w1", ""]


# what is kept for others


def test_a_second_worker_of_a_step_leaves_a_device_for_the_first_of_another(host: Host) -> None:
    assert took(host.worker("a1", 2, step="a", beside={"b": 1}))
    taken, holders = host.worker("a2", 1, step="a", beside={"b": 1}).take(keys(0, 1, 2))
    assert taken == []
    assert holders[2] is None
    assert took(host.worker("b1", 1, step="b", beside={"a": 2})) == keys(2)


def test_of_two_runs_that_begin_together_one_gets_all_that_its_steps_want(host: Host) -> None:
    both = {step: host.worker(f"{step}1", 1, step=step, beside={"a": 1, "b": 1}) for step in "ab"}
    others = {step: host.worker(f"{step}2", 1, step=step, run="run-2", beside={"a": 1, "b": 1}) for step in "ab"}
    assert took(both["a"], 0, 1)
    assert not took(others["a"], 0, 1)
    assert not took(others["b"], 0, 1)
    assert took(both["b"], 0, 1)


def test_a_run_begins_only_where_all_of_its_steps_find_devices(host: Host) -> None:
    took(host.worker("other", 2, run="run-2"))
    assert not took(host.worker("a1", 1, step="a", beside={"b": 1}))
    assert took(host.worker("alone", 1, step="a", run="run-3"))


def test_the_device_of_a_worker_that_died_is_kept_for_its_step(host: Host) -> None:
    took(host.worker("a1", 1, step="a", beside={"b": 2}))
    died = host.worker("b1", 2, step="b", beside={"a": 1})
    took(died)
    died.release(keys(1, 2))
    assert not took(host.worker("other", 1, run="run-2"))
    assert took(host.worker("b2", 2, step="b", beside={"a": 1})) == keys(1, 2)


def test_certain_devices_are_kept_and_others_are_not(host: Host) -> None:
    took(host.worker("a1", 1, step="a", beside={"b": keys(1)}))
    assert took(host.worker("other", 1, run="run-2")) == keys(2)
    assert took(host.worker("b1", keys(1), step="b", beside={"a": 1})) == keys(1)


# keeping and giving back


def test_a_lease_runs_out_unless_it_is_renewed(host: Host, wait_until: Callable[..., None]) -> None:
    took(host.worker("w1", lease=0.3))
    wait_until(lambda: host.held() == ["", "", ""])
    kept = host.worker("w2", lease=0.3)
    took(kept)
    kept_for_long = host.worker("w2", lease=LEASE)
    kept_for_long.renew(keys(0))
    assert int(host.connection.command("PTTL", *keys(0))) > 30_000


def test_a_lease_that_ran_out_is_taken_again_unless_somebody_else_has_the_device(host: Host) -> None:
    first = host.worker("w1")
    first.renew(keys(0))
    assert host.held() == ["w1", "", ""]
    first.release(keys(0))
    took(host.worker("w2"))
    first.renew(keys(0))
    assert host.held() == ["w2", "", ""]
    assert [holder.worker for holder in first.others(keys(0)).values()] == ["w2"]


def test_a_worker_gives_back_only_what_it_has(host: Host) -> None:
    took(host.worker("w1"))
    took(host.worker("w2"))
    host.worker("w1").release(keys(0, 1, 2))
    assert host.held() == ["", "w2", ""]


def test_devices_are_taken_renewed_and_given_back_on_a_full_broker() -> None:
    with RedisServer() as server:
        host = Host(Connection(server.url))
        host.connection.command("CONFIG", "SET", "maxmemory", 1)
        worker = host.worker("w1", 2)
        assert took(worker) == keys(0, 1)
        host.connection.command("DEL", *keys(0))
        worker.renew(keys(0, 1))
        assert host.held() == ["w1", "w1", ""]
        worker.release(keys(0, 1))
        assert host.held() == ["", "", ""]
