"""A connection to the broker: scripts by content hash, errors in plain words, no blind retries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from common.broker.held import Held
from common.broker.server_facts import ServerFacts, which_life
from common.broker.tls import check_options, handshake_fault
from common.broker.url import SentinelUrl, parse_broker_url, what_is_wrong
from common.errors import (
    BrokerError,
    BrokerFull,
    Disconnected,
    ForeignData,
    NotPermitted,
    RunError,
    RunGone,
    UsageError,
)
from common.process.forks import keep_private
from common.protocol.keys import Keys
from common.words.shown_url import redact

SENTINEL_SECONDS = 2.0
"""Seconds within which a sentinel must answer: there are others."""
NOT_NOW = re.compile(
    r"\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|UNBLOCKED|NOSCRIPT|BUSY) .*", re.DOTALL
)
"""Errors of a server that starts, was demoted or lacks replicas; in a script's error they come later in the text."""
_CODES: dict[type[Exception], str] = {
    redis.exceptions.ReadOnlyError: "READONLY ",
    redis.exceptions.NoScriptError: "NOSCRIPT ",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN ",
    redis.exceptions.MasterDownError: "MASTERDOWN ",
    redis.exceptions.TryAgainError: "TRYAGAIN ",
}
_REFUSALS = ("NOPERM", "NOAUTH", "ACL failure in script", "The user executing the script can't")
_FOREIGN = ("WRONGTYPE", "is not an integer")
NO_KEY = Keys("no-run").worker("none")
"""A key that every user with write permission may touch: the lease of a worker that never existed."""
Argument = str | bytes | int | float
T = TypeVar("T")


KEYS_SHOWN = 8
"""Most keys of a script that a message names."""


@dataclass(frozen=True, slots=True)
class Call:
    """One script call, sent alone or with others."""

    script: str
    keys: Sequence[str | bytes]
    args: Sequence[Argument]


@cache
def script_text(name: str) -> tuple[str, str]:
    """Source and content hash of a script."""
    text = files("common.broker").joinpath("scripts", f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode()).hexdigest()


class Connection:
    """Calls from one process to one broker; thread-safe.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes it, with the files of TLS in its query; or
            `redis+sentinel://`.
        timeout: seconds that a reply may take, in addition to the time that a blocking read asks for.
        one_life: what was read must not be mixed with data of a restarted or promoted server, which may have forgotten
            some of it: after such a change every call raises Disconnected until `facts_if_writable` has found the
            new server.

    Raises:
        UsageError: the URL is invalid.
    """

    def __init__(self, url: str, timeout: float = 30.0, *, one_life: bool = False) -> None:
        self.url = url = url.strip()  # a file or Secret often ends with a line break
        self.shown_url = redact(url)
        self._one_life = one_life
        self._life = ""
        self._sentinels: SentinelUrl | None = None
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, 10.0),
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": self._greet,
        }
        if url.startswith("rediss"):
            options["ssl_check_hostname"] = "ssl_cert_reqs=none" not in url
        try:
            self._client: Any = self._make_client(url, options)
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # finds unknown options in the URL; connects to nothing
            check_options(pool.connection_kwargs)
        except (ValueError, TypeError, redis.RedisError) as error:
            raise UsageError(f"'{self.shown_url}' is not a broker's URL: {what_is_wrong(error)}") from None

    def _make_client(self, url: str, options: Mapping[str, Any]) -> Any:
        self._sentinels = asked = parse_broker_url(url)
        if asked is None:
            return redis.Redis.from_url(url, **options, retry_on_error=[])
        server = {**options, **redis.connection.parse_url(asked.server)}  # type: ignore[no-untyped-call]
        server["ssl"] = server.pop("connection_class", None) is not None
        del server["host"]
        seconds = min(SENTINEL_SECONDS, options["socket_timeout"])
        asking = {name: value for name, value in server.items() if name.startswith("ssl")}
        asking |= {"protocol": 2, "retry": options["retry"], "socket_timeout": seconds}
        asking |= {"socket_connect_timeout": seconds, "username": asked.username, "password": asked.password}
        sentinel: Any = Sentinel
        return sentinel(asked.sentinels, 0, asking).master_for(asked.service, **server)

    def _greet(self, wire: Any) -> None:
        """Checks each new socket: with sentinels it must lead to the master, and with `one_life` to the same server."""
        keep_private(wire._sock)
        wire.on_connect()
        if not self._one_life and self._sentinels is None:
            return
        wire.send_command("INFO", check_health=False)
        said = dict(line.split(":", 1) for line in wire.read_response().decode().split() if ":" in line)
        if self._sentinels is not None and said.get("role") != "master":
            raise redis.ConnectionError(f"{wire.host}:{wire.port} is a replica, and the sentinels name no other yet")
        if self._one_life and self._life not in ("", which_life(said)):
            raise redis.ConnectionError("it was restarted, or another server has replaced it")

    def close(self) -> None:
        """Closes every socket."""
        self._client.close()

    def command(self, *args: Argument) -> Any:
        """Sends one command.

        Raises:
            Disconnected, BrokerFull, BrokerError, ForeignData
        """
        try:
            return self._client.execute_command(*args)
        except redis.RedisError as error:
            raise self._translate(error, args) from error

    def pending(self, stream: str, group: str, count: int, consumer: str | None = None) -> list[Held]:
        """The oldest entries that consumers of a group hold."""
        try:
            rows = self._client.xpending_range(stream, group, "-", "+", count, consumer)
        except redis.RedisError as error:
            raise self._translate(error, ("XPENDING", stream)) from error
        return [
            Held(row["message_id"].decode(), row["consumer"].decode(errors="replace"), row["times_delivered"])
            for row in rows
        ]

    def call(self, script: str, keys: Sequence[str | bytes], *args: Argument) -> Any:
        """Runs one script; see `command` for what it raises."""
        (outcome,) = self.batch([Call(script, keys, args)])
        if isinstance(outcome, RunError):
            raise outcome
        return outcome

    def batch(self, calls: Sequence[Call | Sequence[Argument]]) -> list[Any]:
        """Sends script calls and commands in one round trip; each stands alone.

        Returns:
            A reply per call; a BrokerError or ForeignData for one that failed.

        Raises:
            Disconnected: the replies are lost; any of the calls may have run.
            NotPermitted: the user lacks permission for one of the calls; the others have run.
        """
        replies = self._send(calls)
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
        if missing:
            for script in {call.script for place in missing if isinstance(call := calls[place], Call)}:
                self.command("SCRIPT", "LOAD", script_text(script)[0])
            for place, reply in zip(missing, self._send([calls[place] for place in missing]), strict=True):
                if isinstance(reply, redis.exceptions.NoScriptError):  # another server has taken over in between
                    raise self._translate(reply) from reply
                replies[place] = reply
        translated = [
            self._translate(reply, call) if isinstance(reply, Exception) else reply
            for call, reply in zip(calls, replies, strict=True)
        ]
        for outcome in translated:
            if isinstance(outcome, NotPermitted):  # it concerns the user, not this call
                raise outcome
        return translated

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
            if (
                isinstance(reply, redis.RedisError)
                and not isinstance(reply, redis.exceptions.NoScriptError)
                and isinstance(self._translate(reply), Disconnected)
            ):
                raise self._translate(reply) from reply
        return replies

    def facts(self) -> ServerFacts:
        """Asks the broker for its identity."""
        return ServerFacts.parse(self.command("INFO"))

    def check(self) -> ServerFacts:
        """Refuses a broker that would lose work.

        Raises:
            BrokerError: it is too old, or it evicts keys.
        """
        facts = self.facts()
        if problem := facts.problem():
            raise BrokerError(f"the broker at {self.shown_url} {problem}")
        return facts

    def with_whoever(self, act: Callable[[], T]) -> T:
        """Does something that may be done twice; the next time with a server that has taken the place of another one.

        Raises:
            Disconnected: the broker is away; it may be done again.
        """
        try:
            return act()
        except Disconnected:
            with suppress(BrokerError):
                self.facts_if_writable()
            raise

    def facts_if_writable(self) -> ServerFacts:
        """Who the broker is, if it takes writes; from then on that is the server with one life.

        A broker with a full disk, like a replica, answers but refuses every write, even one that changes nothing.

        Raises:
            Disconnected: it does not take writes at the moment.
        """
        self._life = ""
        self.command("UNLINK", NO_KEY)
        if self._one_life:
            self._life = which_life(self.command("INFO"))
        return self.facts()

    def _without_master(self, text: str) -> str:
        """The report of the sentinels; redis-py shows them by their Python names."""
        if self._sentinels is None or "No master found" not in text:
            return ""
        reasons = "; ".join(dict.fromkeys(re.findall(r"(?:Error\(')([^']*)'", text)))
        who = f"none of the sentinels {self._sentinels.hosts} names a healthy master '{self._sentinels.service}'"
        return f"{who}{f' ({reasons})' if reasons else ''}"

    def _translate(self, error: Exception, call: Call | Sequence[Argument] = ()) -> BrokerError | ForeignData:
        text = str(error)
        if _is_refusal(error):
            return NotPermitted(
                f"the broker at {self.shown_url} refuses this user{_named(call)}: {text}{_missing(text)} "
                "(docs/security.md lists the permissions that users need)"
            )
        if why := handshake_fault(error):
            return BrokerError(f"the broker at {self.shown_url} is unusable: {why}")
        if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM command not allowed" in text:
            return BrokerFull(f"the broker at {self.shown_url} is full (maxmemory reached)")
        if isinstance(
            error,
            redis.exceptions.ConnectionError | redis.exceptions.TimeoutError | redis.exceptions.BusyLoadingError,
        ):
            why = self._without_master(text) or text or type(error).__name__
            if isinstance(error, redis.exceptions.TimeoutError) and self.url.startswith("rediss"):
                why += " (a server that does not use TLS on this port is silent, too)"
            return Disconnected(f"the broker at {self.shown_url} cannot be reached: {why}")
        _, misconf, why = text.partition("MISCONF ")  # a script's error has it later in the text
        if misconf:
            return Disconnected(f"the broker at {self.shown_url} accepts no writes at the moment: {why}")
        code = _CODES.get(type(error), "")  # redis-py removes it
        if not_now := NOT_NOW.search(f"{code}{text}" if isinstance(error, redis.exceptions.ResponseError) else ""):
            # An address that moves with the primary leads to the new one only through a new socket.
            self._client.connection_pool.disconnect(inuse_connections=False)
            return Disconnected(f"the broker at {self.shown_url} is unusable at the moment: {not_now[0]}")
        if "NOGROUP" in text:
            return RunGone(self.shown_url)
        answer = f"the broker at {self.shown_url} answered{_named(call) and f' to{_named(call)}'}: {text}"
        if any(mark in text for mark in _FOREIGN):
            return ForeignData(answer)
        return BrokerError(answer)


def raise_first(replies: Sequence[Any]) -> None:
    """Raises the error of the first failed call of a batch."""
    for error in (reply for reply in replies if isinstance(reply, RunError)):
        raise error


def _is_refusal(error: Exception) -> bool:
    """Whether an ACL refused the command. Each version words it differently for a script's commands."""
    refusals = redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError
    return isinstance(error, refusals) or any(mark in str(error) for mark in _REFUSALS)


def _missing(text: str) -> str:
    """What to add to the user's line, if the broker names the command that it refuses."""
    command = re.search(r"run the '([\w|]+)' command", text)
    return f"; the user needs +{command[1].lower()}" if command else ""


def _named(call: Call | Sequence[Argument]) -> str:
    """The command or script and its first keys, for a message."""
    if not isinstance(call, Call):
        return f" {' '.join(map(_text, call[:2]))}" if call else ""
    more = f" and {len(call.keys) - KEYS_SHOWN} more" if len(call.keys) > KEYS_SHOWN else ""
    return f" the script {call.script} on {', '.join(map(_text, call.keys[:KEYS_SHOWN]))}{more}"


def _text(word: Argument) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
