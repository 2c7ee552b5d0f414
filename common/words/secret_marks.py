"""What looks like a secret: names of keys, options and headers, URLs with a password, keys of known services."""

from __future__ import annotations

import re
from urllib.parse import unquote

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
_LAST_WORDS = frozenset(
    {
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "pass",
        "passcode",
        "passphrase",
        "passphrases",
        "pwd",
        "secret",
        "secrets",
        "token",
    }
)
_LAST_PARTS = ("apikey", "apikeys", "password", "passwords", "passwd", "accesskey", "secretkey", "privatekey", "token")
"""A name may have no separator between its words, such as `dbpassword`."""
_KINDS_OF_KEYS = frozenset(
    {
        "access",
        "account",
        "api",
        "auth",
        "client",
        "deploy",
        "encryption",
        "functions",
        "master",
        "private",
        "secret",
        "service",
        "shared",
        "signing",
        "ssh",
        "storage",
        "subscription",
    }
)
"""Words before `key`; a `sort_key` or `partition_key` is not a secret."""
_SPECIAL_TOKENS = frozenset(
    {
        "bos",
        "eos",
        "pad",
        "unk",
        "sep",
        "cls",
        "mask",
        "stop",
        "start",
        "begin",
        "end",
        "max",
        "min",
        "new",
        "image",
        "special",
    }
)
"""Words before `token` in names that belong to a tokenizer."""
_WORKING_DIRECTORIES = frozenset({"PWD", "OLDPWD"})
"""Variables of a shell. As a key of a connection, `PWD` is a password, as `pwd` is."""
_URL = re.compile(r"\s*[a-zA-Z][\w+.:-]*?:/{1,2}([^\s]*)", re.DOTALL)
_KEY_OF_A_SERVICE = re.compile(
    r"\s*(?:(?:Bearer|Token|Basic)\s+)?(?:sk-[\w-]{20,}|hf_\w{30,}|gh[pousr]_\w{36,}|github_pat_\w{22,}|glpat-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abeprs]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)\s*"
    r"|\s*-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)
_BEARER = re.compile(r"\s*Bearer\s+(?=\S*\d)[\w.~+/=-]{8,}\s*", re.IGNORECASE)
_HEADER = re.compile(r"\s*([A-Za-z][\w-]*)\s*:\s*(\S.*)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether it is the name of a password, a key or a token, in any case and with any separator between its words.

    Examples: `secret_access_key`, `apiKey`, `X-Api-Key`, `db-password`. Not `max_tokens`, `key_column`, `api_key_env`.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in ("token", "tokens"):
        return last == "token" and before not in _SPECIAL_TOKENS
    if last in ("key", "keys"):
        return before in _KINDS_OF_KEYS
    return last in _LAST_WORDS or last.endswith(_LAST_PARTS) or words[-3:] == ["access", "key", "id"]


def is_secret_setting(name: str, value: str) -> bool:
    """Whether its name marks it as a secret. A variable or key `PWD` that holds an absolute path is not a secret."""
    return is_secret_name(name) and not (name in _WORKING_DIRECTORIES and value.startswith("/"))


def is_secret_value(text: str) -> bool:
    """Whether it is a key of a known service, or the value of an `Authorization` header."""
    return bool(_KEY_OF_A_SERVICE.fullmatch(text) or _BEARER.fullmatch(text))


def is_secret_header(text: str) -> bool:
    """Whether it is a line such as `Authorization: Bearer ...` or `X-Api-Key: ...`."""
    found = _HEADER.fullmatch(text)
    return found is not None and is_secret_name(found[1])


def has_password(url: str) -> bool:
    """Whether it is a URL with a password, before its host or as an option."""
    found = _URL.match(url)
    if found is None:
        return False
    rest = found[1]
    userinfo, at, _ = rest.rpartition("@")
    # A / may be part of a password, but `https://host:8000/@me` is a path.
    if at and (":" in re.split(r"[/?#]", userinfo)[0]) and not re.match(r"[\w.-]+:\d+[/?#]", userinfo):
        return True
    if at and is_secret_value(userinfo):
        return True
    _, _, query = rest.partition("?")
    options = [option.partition("=") for option in re.split(r"[&;]", query)]
    return any(value and is_secret_name(unquote(name)) for name, _, value in options)
