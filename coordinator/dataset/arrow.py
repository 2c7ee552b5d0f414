"""The libraries that write the dataset, loaded while the workers start: they take as long as a worker does."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module


def load_in_background() -> None:
    """Returns at once; an import elsewhere waits for this one."""
    threading.Thread(target=_load, name="arrow", daemon=True).start()


def _load() -> None:
    with suppress(ImportError):  # whoever needs it says so
        pa = import_module("pyarrow")
        import_module("pyarrow.parquet")
        pa.array([""])  # only now it looks for pandas, which takes longer than all the rest
