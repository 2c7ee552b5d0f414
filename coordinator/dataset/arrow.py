"""The libraries that write the dataset, loaded while the workers start: they take as long as a worker does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def load_in_background(*, without_pandas: bool = False) -> None:
    """Returns at once; an import elsewhere waits for this one.

    Args:
        without_pandas: pyarrow, which looks for pandas once, finds none unless it is loaded already. Loading it takes
            longer than all the rest, and a dataset is written without it.
    """
    threading.Thread(target=_load, args=(without_pandas,), name="arrow", daemon=True).start()


def _load(without_pandas: bool) -> None:
    with suppress(ImportError):  # whoever needs it says so
        pa = import_module("pyarrow")
        import_module("pyarrow.parquet")
        nowhere = _Nowhere("pandas")
        if without_pandas:
            sys.meta_path.insert(0, nowhere)
        try:
            pa.array([""])  # only now it looks for pandas
        finally:
            if without_pandas:
                sys.meta_path.remove(nowhere)


class _Nowhere(MetaPathFinder):
    """Hides a module from the thread that made it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname == self._name and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"no module '{fullname}' for pyarrow", name=fullname)
        return None
