from pathlib import Path
import pytest
from tests.integration.harness import harnesses, wait_for
from tests.integration.test_external_workers import coordinator, worker, MINE, Sight
from tests.redis_server import RedisServer
from common.broker.connection import Connection

STEPS = '''
from common.steps import *
class Wide(GeneratorStep):
    rows: int = 1500
    width: int = 20000
    @property
    def outputs(self): return ["n","text"]
    def process(self, offset=0):
        while offset < self.rows:
            c=min(self.batch_size, self.rows-offset)
            yield [{"n": n, "text": str(n).ljust(self.width, "x")} for n in range(offset, offset+c)], offset+c>=self.rows
            offset+=c
class Pass(Step):
    def process(self, inputs: StepInput):
        yield inputs
'''
SPEC='''
name: wide
steps:
  load: {type: "wide:Wide"}
  a: {type: "wide:Pass", after: load}
  b: {type: "wide:Pass", after: a}
'''
@pytest.fixture
def harness(tmp_path):
    yield from harnesses(tmp_path)

@pytest.mark.parametrize("mb", [8, 12, 24])
def test_small(harness, mb):
    spec=harness.write_spec(SPEC); (harness.folder/"wide.py").write_text(STEPS)
    with RedisServer("--maxmemory", f"{mb}mb") as server:
        run=harness.start_run(spec,"--broker",server.url)
        try:
            assert run.wait(60)==0, run.text
        finally:
            print(run.text)
            print(Connection(server.url).facts())
        assert [r["n"] for r in harness.rows("b")]==list(range(1500))
