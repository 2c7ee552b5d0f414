"""URLs of brokers: how they are shown, and those of sentinels, `redis+sentinel://host1:26379,host2:26379/mymaster/0`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Scheme -> the scheme of a URL of one server; `rediss+sentinel` is TLS, to the sentinels as well."""
DEFAULT_PORT = 26_379
PREFIX = "sentinel_"
"""Of options that are meant for the sentinels."""


def redact(url: str) -> str:
    """The URL without its password, for messages and logs; also one that is not well-formed."""
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # sentinels
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


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A URL, taken apart.

    Args:
        sentinels: host and port of each.
        service: name of the master, as the sentinels know it.
        server: user, password, database and options as a URL of one server, whose host means nothing.
        username, password: for the sentinels; empty for none.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    server: str
    username: str = ""
    password: str = ""

    @property
    def hosts(self) -> str:
        """The sentinels, for messages."""
        return ", ".join(f"{host}:{port}" for host, port in self.sentinels)


def is_sentinel_url(url: str) -> bool:
    """Is it a URL of sentinels?"""
    return url.partition("://")[0].lower() in SCHEMES


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Takes a URL apart.

    Raises:
        ValueError: something is missing in it, or wrong.
    """
    parts = urlsplit(url)
    userinfo, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(f"it does not name the master: {parts.scheme}://HOST:26379,HOST:26379/MASTER/0")
    if database and not database.isdigit():
        raise ValueError(f"'{database}', behind the name of the master, is no number of a database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: options.pop(PREFIX + name, "") for name in ("username", "password")}
    if unknown := [name for name in options if name.startswith(PREFIX)]:
        raise ValueError(f"there is no option {unknown[0]!r}; the sentinels take {PREFIX}username and {PREFIX}password")
    host = f"{userinfo}@sentinel" if userinfo else "sentinel"
    server = urlunsplit((SCHEMES[parts.scheme], host, f"/{database or 0}", urlencode(options), ""))
    sentinels = tuple(_address(address) for address in hosts.split(","))
    return SentinelUrl(sentinels, unquote(service), server, own["username"], own["password"])


def _address(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[ipv6]:port`."""
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a sentinel has no host: write HOST:26379,HOST:26379")
    return parts.hostname, parts.port or DEFAULT_PORT


def what_is_wrong(error: Exception) -> str:
    """Of a URL, in words, as redis-py has found it."""
    text = str(error)
    if option := re.search("unexpected keyword argument ('.*')", text):
        return f"there is no option {option[1]}"
    if "Port" in text:  # redis quotes what it took for a port: part of a password that has a slash in it
        return "its port is not a number up to 65535 (in a password, write / as %2F, # as %23, ? as %3F)"
    return text
