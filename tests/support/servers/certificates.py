"""An authority and certificates for tests of TLS, made with the `openssl` command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OPENSSL = shutil.which("openssl")
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, good for 127.0.0.1 where nothing else is said.

    Args:
        folder: where the files go; it is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", *EC, "-nodes", "-days", "2", "-subj", f"/CN=authority {folder.name}"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str, names: str = "IP:127.0.0.1", days: int = 2) -> Pair:
        """Signs a new certificate.

        Args:
            names: the hosts that it is for.
            days: that it is valid; negative for one that has expired.
        """
        made = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        _openssl("req", "-newkey", *EC, "-nodes", "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", str(days), "-extfile", extensions, "-out", made.certificate),
        )
        return made


def _openssl(*arguments: str | Path) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *arguments], check=True, capture_output=True, timeout=60)
