"""A broker's URL, safe to show and to keep: parts known to be harmless stay, anything else becomes `***`."""

from __future__ import annotations

import re
from difflib import get_close_matches

HIDDEN = "***"
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "http", "https", "tcp")
_SECRET_OPTIONS = frozenset({"password", "ssl_password", "sentinel_password"})
_HARMLESS_OPTIONS = frozenset(
    {
        "client_name",
        "db",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "lib_name",
        "lib_version",
        "max_connections",
        "protocol",
        "retry_on_timeout",
        "sentinel_username",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_validate_ocsp",
        "ssl_validate_ocsp_stapled",
        "timeout",
        "username",
    }
)
"""Options of redis-py, and ours for sentinels, whose values are not secret."""
OPTIONS = _HARMLESS_OPTIONS | _SECRET_OPTIONS
_VALUE = re.compile(r"[\w./:~+-]*")
_USER = re.compile(r"[\w.-]{1,64}")
_ADDRESS = re.compile(r"(?:[\w.-]{1,253}|\[[0-9a-fA-F:.]+\])?(?::\d{1,5})?")
_DATABASE = re.compile(r"/?(?:\d{1,9})?/?")
_SERVICE = re.compile(r"(?:/[\w.-]*(?:/\d{0,9})?/?)?")


def redact(url: str) -> str:
    """The URL for messages, logs and records; handles malformed URLs as well."""
    scheme, colon, rest = url.strip().partition("://")
    shown_scheme = _shown_scheme(scheme.lower())
    if not colon:
        return HIDDEN
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind, fragment, _ = rest[len(authority) :].partition("#")
    path, question, query = behind.partition("?")
    # With an @ after the authority, the end of the password is unknown: it may contain a slash.
    if "@" in rest[len(authority) :] or not shown_scheme:
        return f"{shown_scheme or HIDDEN}://{HIDDEN}"
    shown = f"{shown_scheme}://{_shown_authority(authority)}{_shown_path(path, shown_scheme)}"
    shown += f"?{_shown_query(query)}" if question else ""
    return shown + (f"#{HIDDEN}" if fragment else "")


def shown_value(value: str) -> str:
    """The value of a harmless option: a number, a word or a path."""
    return value if _VALUE.fullmatch(value) else HIDDEN


def _shown_scheme(scheme: str) -> str:
    """Accepts a misspelt scheme; empty for an unknown word."""
    return scheme if get_close_matches(scheme, SCHEMES, cutoff=0.6) and scheme.replace("+", "").isalpha() else ""


def _shown_authority(authority: str) -> str:
    userinfo, at, hosts = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    # A user alone, or with an empty password, is often a password in the wrong place.
    known = _USER.fullmatch(user) and password and user not in password
    shown_user = f"{user}:{HIDDEN}" if known or not user else HIDDEN
    return f"{shown_user}@{_shown_hosts(hosts)}" if at else _shown_hosts(hosts)


def _shown_hosts(hosts: str) -> str:
    """Of one server or several sentinels. A port that is not a number may be a password without a host."""
    if hosts.startswith(":"):
        return HIDDEN
    return ",".join(_shown_address(address) for address in hosts.split(","))


def _shown_address(address: str) -> str:
    if _ADDRESS.fullmatch(address):
        return address
    host = address.rpartition(":")[0]
    return f"{host}:{HIDDEN}" if host and _ADDRESS.fullmatch(host) and ":" not in host else HIDDEN


def _shown_path(path: str, scheme: str) -> str:
    if scheme == "unix":
        return path if path.isprintable() else f"/{HIDDEN}"
    harmless = _SERVICE if scheme.endswith("+sentinel") else _DATABASE
    return path if harmless.fullmatch(path) else f"/{HIDDEN}"


def _shown_query(query: str) -> str:
    return "&".join(_shown_option(*option.partition("=")) for option in query.split("&"))


def _shown_option(name: str, equals: str, value: str) -> str:
    if name in _SECRET_OPTIONS:
        return f"{name}={HIDDEN}"
    return f"{name}={shown_value(value)}" if name in _HARMLESS_OPTIONS and equals else HIDDEN
