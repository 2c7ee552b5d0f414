"""Packages that a built-in step needs, and that an extra of `penstock` installs.

Whoever catches these errors names the step.
"""

from __future__ import annotations

from importlib.util import find_spec

from common.errors import UsageError


def check_installed(package: str, extra: str) -> None:
    """Checks for a package without importing it.

    Raises:
        UsageError: it is not installed; says how to install it.
    """
    if find_spec(package) is None:
        raise not_installed(package, extra)


def not_installed(package: str, extra: str, error: ImportError | None = None) -> UsageError:
    """What to do about a package that cannot be imported."""
    return UsageError(f"needs the package {package}: pip install 'penstock[{extra}]'{f' ({error})' if error else ''}")
