"""Rows that a leaf has produced and that are unavailable."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.control import Control
from common.errors import PayloadMissing
from common.protocol.batch import Payload
from common.protocol.holder import Holder
from common.settings import Settings
from coordinator.dataset.sink import Sink
from coordinator.fold.effects import Emit


def test_a_file_that_a_run_without_a_store_refers_to_is_missing_under_its_own_name(tmp_path: Path) -> None:
    control = Control(Connection("redis://127.0.0.1:1/0"), "run", Holder(1, "host"), 1.0)
    sink = Sink(control, ["a"], tmp_path, "token", None, Settings())
    sink.open()
    sink.emit(Emit(Payload("a", 0, external="a-0-0-digest.rows"), 10, 100))
    with pytest.raises(PayloadMissing, match=r"payload a-0-0-digest\.rows is missing.*the file was deleted") as error:
        sink.take_in(0.0)
    assert error.value.name == "a-0-0-digest.rows"
