"""TLS to the broker: what the options of a `rediss://` URL need, and what a failed handshake means."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.broker.url import WrongUrl
from common.words.shown_url import shown_value

_FILES = {
    "ssl_ca_certs": "the certificates of the trusted authorities",
    "ssl_certfile": "the certificate of this client",
    "ssl_keyfile": "the private key of that certificate",
}
_NO_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_REFUSED = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


def check_options(options: Mapping[str, Any]) -> None:
    """Checks the files that a URL names, so that a wrong name is not mistaken for an unreachable broker.

    Args:
        options: of the URL, as redis-py reads it.

    Raises:
        WrongUrl: a file is missing or invalid; names the option and the next move.
    """
    if options.get("ssl_keyfile") and not options.get("ssl_certfile"):
        raise WrongUrl("ssl_keyfile is useless without ssl_certfile: give both")
    for option, what in _FILES.items():
        if name := options.get(option):
            try:
                Path(name).open("rb").close()
            except OSError as error:
                raise WrongUrl(f"{option}={shown_value(name)} ({what}) cannot be read: {error.strerror}") from None
    # Not create_default_context: it reads the authorities of the system, which takes longer than everything else.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities := options.get("ssl_ca_certs"):
        try:
            context.load_verify_locations(cafile=authorities)
        except ssl.SSLError:
            raise WrongUrl(f"ssl_ca_certs={shown_value(authorities)} holds no certificate in PEM format") from None
    if certificate := options.get("ssl_certfile"):
        key = options.get("ssl_keyfile")
        try:
            # An empty password instead of none: OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, options.get("ssl_password", ""))
        except ssl.SSLError as error:
            raise WrongUrl(f"ssl_certfile={shown_value(certificate)} {_why_no_pair(error, key)}") from None


def handshake_fault(error: BaseException) -> str | None:
    """The fault and the next move, if TLS refused a connection for a reason that waiting does not fix."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _why_not_trusted(cause)
        text = str(cause).upper().replace(" ", "_")
        if not isinstance(cause, ssl.SSLError) and "[SSL:" not in text:
            continue
        if any(mark in text for mark in _NO_TLS):
            return "it does not use TLS on this port: use redis:// there, or its tls-port"
        if any(mark in text for mark in _NO_CERTIFICATE):
            return (
                "it requires a client certificate: add ssl_certfile=FILE and ssl_keyfile=FILE to the URL (or "
                "no TLS version is common to both sides)"
            )
        if any(mark in text for mark in _REFUSED):
            return (
                "it rejects this client's certificate: ssl_certfile must be signed by the authority that "
                "the broker trusts (its tls-ca-cert-file), and be valid today"
            )
    return None


def _why_not_trusted(error: ssl.SSLCertVerificationError) -> str:
    match error.verify_code:
        case 10:
            return "its certificate has expired: renew it there"
        case 9:
            return "its certificate is not valid yet: check the clocks of both hosts"
        case 62 | 64:
            name = error.verify_message.rstrip(".")
            return f"its certificate is for another host ({name}): use the certificate's name in the URL"
        case _:
            return (
                f"its certificate is not trusted ({error.verify_message}): name the authority that signed it, with "
                "ssl_ca_certs=FILE in the URL"
            )


def _why_no_pair(error: ssl.SSLError, key: str | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"and ssl_keyfile={shown_value(key or '')} do not belong together"
    if key is None:
        return "holds no certificate with its private key in PEM format: name the key with ssl_keyfile=FILE"
    shown = shown_value(key)
    return f"and ssl_keyfile={shown} are not a certificate and its private key in PEM format (or ssl_password is wrong)"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__
