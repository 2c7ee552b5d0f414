"""A connection to the broker: scripts by content hash, errors in our own words, no blind retries."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential_jitter,
)

from common.errors import BrokerError, UsageError

OLDEST_VERSION = (6, 2)
NO_KEY = "penstock:{no-run}:nothing"
Argument = str | bytes | int | float
T = TypeVar("T")


class Disconnected(BrokerError):
    """The broker cannot be reached, is starting, or is not the primary: try again."""


class BrokerFull(BrokerError):
    """The broker has reached its `maxmemory` and takes no new data."""


@dataclass(frozen=True, slots=True)
class Call:
    """One script call, to be sent alone or with others."""

    script: str
    keys: Sequence[str]
    args: Sequence[Argument]


@dataclass(frozen=True, slots=True)
class Held:
    """An entry that a consumer of a group holds, and the consumers that have held it, this one included."""

    entry: str
    consumer: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the broker says of itself. Memory is in bytes."""

    version: str
    maxmemory: int
    used_memory: int
    policy: str
    append_only: bool


@cache
def script_text(name: str) -> tuple[str, str]:
    """Source and content hash of a script."""
    text = files("common").joinpath("scripts", f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode()).hexdigest()


def redact(url: str) -> str:
    """The URL without its password, for messages and logs; also one that is not well-formed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no port
        if "password=" in parts.query:
            parts = parts._replace(query=re.sub(r"(?<=password=)[^&]*", "***", parts.query))
        elif parts.password is None:
            return url
        if parts.password is None:
            return urlunsplit(parts)
        user, _, host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user.split(':')[0]}:***@{host}"))
    except ValueError:  # such as a slash in the password: what stands before it is taken for a port
        return re.sub(r"(?<=://)([^:@/]*):.*@", r"\1:***@", url)


class Connection:
    """Calls of one process to one broker; safe to use from several threads.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes it.
        timeout: seconds that a reply may take, over and above the time that a blocking read asks for.

    Raises:
        UsageError: it is no such URL.
    """

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        self.url = url
        self.shown_url = redact(url)
        try:
            self._client: Any = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=timeout,
                socket_connect_timeout=min(timeout, 10.0),
                retry=Retry(NoBackoff(), 0),
                retry_on_error=[],
            )
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # finds unknown options in the URL; connects to nothing
        except (ValueError, TypeError, redis.RedisError) as error:
            raise UsageError(f"'{self.shown_url}' is not a broker's URL: {_what_is_wrong(error)}") from None

    def close(self) -> None:
        """Closes every socket."""
        self._client.close()

    def command(self, *args: Argument) -> Any:
        """Sends one command.

        Raises:
            Disconnected, BrokerFull, BrokerError
        """
        try:
            return self._client.execute_command(*args)
        except redis.RedisError as error:
            raise self._translate(error) from error

    def pending(self, stream: str, group: str, count: int, consumer: str | None = None) -> list[Held]:
        """The oldest entries that consumers of a group hold."""
        try:
            rows = self._client.xpending_range(stream, group, "-", "+", count, consumer)
        except redis.RedisError as error:
            raise self._translate(error) from error
        return [Held(row["message_id"].decode(), row["consumer"].decode(), row["times_delivered"]) for row in rows]

    def call(self, script: str, keys: Sequence[str], *args: Argument) -> Any:
        """Runs one script; see `command` for what it raises."""
        (outcome,) = self.batch([Call(script, keys, args)])
        if isinstance(outcome, BrokerError):
            raise outcome
        return outcome

    def batch(self, calls: Sequence[Call | Sequence[Argument]]) -> list[Any]:
        """Sends script calls and commands in one round trip; each stands alone.

        Returns:
            A reply per call; a BrokerError in the place of one that failed.

        Raises:
            Disconnected: the replies are lost; any of the calls may have run.
        """
        replies = self._send(calls)
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
        if missing:
            for script in {call.script for place in missing if isinstance(call := calls[place], Call)}:
                self.command("SCRIPT", "LOAD", script_text(script)[0])
            for place, reply in zip(missing, self._send([calls[place] for place in missing]), strict=True):
                replies[place] = reply
        return [self._translate(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def _send(self, calls: Sequence[Call | Sequence[Argument]]) -> list[Any]:
        try:
            pipeline = self._client.pipeline(transaction=False)
            for call in calls:
                if isinstance(call, Call):
                    digest = script_text(call.script)[1]
                    pipeline.execute_command("EVALSHA", digest, len(call.keys), *call.keys, *call.args)
                else:
                    pipeline.execute_command(*call)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        except redis.RedisError as error:
            raise self._translate(error) from error
        for reply in replies:
            if isinstance(reply, redis.RedisError) and isinstance(self._translate(reply), Disconnected):
                raise self._translate(reply) from reply
        return replies

    def facts(self) -> ServerFacts:
        """Asks the broker who it is."""
        info: dict[str, Any] = self.command("INFO")
        return ServerFacts(
            version=str(info.get("valkey_version") or info.get("redis_version", "0")),
            maxmemory=int(info.get("maxmemory", 0)),
            used_memory=int(info.get("used_memory", 0)),
            policy=str(info.get("maxmemory_policy", "noeviction")),
            append_only=bool(int(info.get("aof_enabled", 0))),
        )

    def check(self) -> ServerFacts:
        """Refuses a broker that would lose work.

        Raises:
            BrokerError: it is too old, or it evicts keys.
        """
        facts = self.facts()
        version = tuple(int(part) for part in facts.version.split(".")[:2])
        if version < OLDEST_VERSION:
            raise BrokerError(f"the broker at {self.shown_url} is version {facts.version}; Penstock needs 6.2 or newer")
        if facts.policy != "noeviction":
            raise BrokerError(
                f"the broker at {self.shown_url} has maxmemory-policy {facts.policy}, so it would throw work away when "
                "it is full; set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in its configuration)"
            )
        return facts

    def wait_until_reachable(self, patience: float, stop: threading.Event | None = None) -> ServerFacts:
        """Tries, with backoff, for `patience` seconds, or until `stop` is set.

        Raises:
            Disconnected: with the last reason.
        """
        stop = stop or threading.Event()
        retrying = Retrying(
            retry=retry_if_exception_type(Disconnected),
            wait=wait_exponential_jitter(multiplier=0.05, max=2.0, jitter=0.1),
            stop=stop_after_delay(patience) | stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            reraise=True,
        )
        return retrying(self._facts_if_writable)

    def insist(self, act: Callable[[], T], patience: float, say: Callable[[str], None] = lambda _: None) -> T:
        """Does something that may be done twice, again and again while the broker is away or full.

        Args:
            patience: seconds.
            say: told once what is waited for.

        Raises:
            Disconnected, BrokerFull: it was away or full for all that time.
        """

        def before_sleep(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                say(str(state.outcome.exception()))

        retrying = Retrying(
            retry=retry_if_exception_type((Disconnected, BrokerFull)),
            wait=wait_exponential_jitter(multiplier=0.05, max=2.0, jitter=0.1),
            stop=stop_after_delay(patience),
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(act)

    def _facts_if_writable(self) -> ServerFacts:
        """A broker whose disk is full, and a replica, answer and refuse every write, even one that changes nothing."""
        self.command("UNLINK", NO_KEY)
        return self.facts()

    def _translate(self, error: Exception) -> BrokerError:
        text = str(error)
        if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
            return BrokerError(f"the broker at {self.shown_url} refuses this user: {text}")
        if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in text:
            return BrokerFull(f"the broker at {self.shown_url} is full (maxmemory reached)")
        if isinstance(
            error,
            redis.exceptions.ConnectionError
            | redis.exceptions.TimeoutError
            | redis.exceptions.BusyLoadingError
            | redis.exceptions.ReadOnlyError,
        ):
            return Disconnected(f"the broker at {self.shown_url} cannot be reached: {text or type(error).__name__}")
        _, misconf, why = text.partition("MISCONF ")  # of a script's error it is not the beginning
        if misconf:
            return Disconnected(f"the broker at {self.shown_url} takes no writes at the moment: {why}")
        if text.startswith(("LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN")):
            return Disconnected(f"the broker at {self.shown_url} cannot be used at the moment: {text}")
        return BrokerError(f"the broker at {self.shown_url} answered: {text}")


def _what_is_wrong(error: Exception) -> str:
    text = str(error)
    if option := re.search("unexpected keyword argument ('.*')", text):
        return f"there is no option {option[1]}"
    if "Port" in text:  # redis quotes what it took for a port: part of a password that has a slash in it
        return "its port is not a number up to 65535 (in a password, write / as %2F, # as %23, ? as %3F)"
    return text
