"""The libraries of the dataset are loaded in the background, for a command without pandas."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys, threading
from coordinator.dataset.arrow import load_in_background
load_in_background(without_pandas={without})
[thread.join() for thread in threading.enumerate() if thread.name == "arrow"]
print("pyarrow.parquet" in sys.modules, "pandas" in sys.modules)
import pandas, pyarrow
print(pyarrow.array(["x"]).to_pylist(), pandas.Series(["x"]).tolist())
"""


@pytest.mark.parametrize("without", [True, False])
def test_pyarrow_looks_for_pandas_only_where_a_program_may_want_both(without: bool) -> None:
    code = CODE.format(without=without)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n") == [f"True {not without}", "['x'] ['x']", ""]
