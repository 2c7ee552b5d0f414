"""URLs of brokers: their faults, and those of sentinels, `redis+sentinel://host1:26379,host2:26379/mymaster/0`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from common.words.shown_url import OPTIONS

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Scheme -> the scheme of a URL of one server; `rediss+sentinel` is TLS, to the sentinels as well."""
DEFAULT_PORT = 26_379
_PLAIN_SCHEMES = ("redis", "rediss", "unix")
_ESCAPES = "in a password, write / as %2F, # as %23, ? as %3F, @ as %40"
PREFIX = "sentinel_"
"""Prefix of options for the sentinels."""


class WrongUrl(ValueError):
    """The URL is not a broker's; says why, and repeats nothing that may be secret."""


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A parsed URL.

    Args:
        sentinels: host and port of each.
        service: name of the master, as known to the sentinels.
        server: user, password, database and options as the URL of one server; its host is meaningless.
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


def parse_broker_url(url: str) -> SentinelUrl | None:
    """Parses a URL of sentinels; None for the URL of a server, which redis-py parses.

    Raises:
        WrongUrl: it is invalid, or part of a password would be read as its host.
    """
    scheme, colon, _ = url.partition("://")
    if not colon or (scheme not in _PLAIN_SCHEMES and scheme.lower() not in SCHEMES):
        raise WrongUrl("a broker's URL begins with redis://, rediss://, unix:// or redis+sentinel://")
    parts = urlsplit(url)
    names = (option.partition("=")[0] for option in parts.query.split("&"))
    if any("@" in text for text in (parts.path, parts.fragment, *names)):
        raise WrongUrl(f"an @ follows its host ({_ESCAPES})")
    if scheme.lower() in SCHEMES:
        return _parse_sentinel_url(parts)
    if scheme != "unix" and not _is_host(parts.hostname or ""):
        raise WrongUrl(f"its host is invalid ({_ESCAPES})")
    return None


def _is_host(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:  # a part is too long for a name
        return False
    return re.fullmatch(r"[\w.:-]*", name) is not None


def _parse_sentinel_url(parts: SplitResult) -> SentinelUrl:
    userinfo, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise WrongUrl(f"it does not name the master: {parts.scheme}://HOST:26379,HOST:26379/MASTER/0")
    if database and not database.isdigit():
        raise WrongUrl("the master's name must be followed by the number of a database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: options.pop(PREFIX + name, "") for name in ("username", "password")}
    if unknown := [name for name in options if name.startswith(PREFIX)]:
        raise WrongUrl(_no_option(unknown[0]))
    host = f"{userinfo}@sentinel" if userinfo else "sentinel"
    server = urlunsplit((SCHEMES[parts.scheme], host, f"/{database or 0}", urlencode(options), ""))
    sentinels = tuple(_address(address) for address in hosts.split(","))
    return SentinelUrl(sentinels, unquote(service), server, own["username"], own["password"])


def _address(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[ipv6]:port`."""
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise WrongUrl("a sentinel has no host: write HOST:26379,HOST:26379")
    return parts.hostname, parts.port or DEFAULT_PORT


def what_is_wrong(error: Exception) -> str:
    """The fault of a URL in words. Python and redis-py quote the unreadable part, which may belong to a password."""
    text = str(error)
    if isinstance(error, WrongUrl) or re.fullmatch(r"Invalid value for '\w+' in connection URL\.", text):
        return text
    if option := re.search("unexpected keyword argument '(.*)'", text):
        return _no_option(option[1])
    if "Port" in text:
        return f"its port is not a number up to 65535 ({_ESCAPES})"
    return f"its host or an option cannot be read ({_ESCAPES})"


def _no_option(name: str) -> str:
    """Only an almost valid name is certainly not part of a password."""
    close = get_close_matches(name, OPTIONS, n=1, cutoff=0.8)
    return f"there is no option '{name}'; did you mean '{close[0]}'?" if close else "it has an unknown option"
