"""`render kubernetes`: how KEDA scales the workers of each step, from none on."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.protocol.keys import GROUP, Keys
from common.settings import Settings
from coordinator.engine.flow import FlowControl
from coordinator.rendering.kubernetes_workers import lag_count
from tests.support.fold.fold_words import Fold, generator, step
from tests.support.rendered import QUICKSTART, objects, of_kind, only, pods, write_hard


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PENSTOCK_{name.upper()}", raising=False)


def test_each_deployment_is_scaled_on_the_stream_of_its_step(tmp_path: Path) -> None:
    for spec in (QUICKSTART, write_hard(tmp_path)):
        found = objects(spec, "--run-id", "one", "--namespace", "here")
        deployments, scaled = of_kind(found, "Deployment"), of_kind(found, "ScaledObject")
        assert scaled.keys() == deployments.keys()
        for name, one in scaled.items():
            step = deployments[name]["metadata"]["annotations"]["penstock/step"]
            assert "replicas" not in deployments[name]["spec"]  # or each apply would undo the scaling
            assert one["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
            lag, length = one["spec"]["triggers"]
            for trigger in (lag, length):
                assert trigger["type"] == "redis-streams"
                assert trigger["metadata"]["stream"] == Keys("one").inputs(step)
                assert trigger["metadata"]["address"].endswith("-redis.here.svc:6379")
                assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in found
                assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert lag["metadata"]["consumerGroup"] == GROUP
            assert int(lag["metadata"]["lagCount"]) < Settings().dispatch_slack
            assert "consumerGroup" not in length["metadata"]  # by its length, in hand or not


def test_as_many_workers_are_started_as_are_allowed_and_none_where_there_is_no_work(tmp_path: Path) -> None:
    scaled = of_kind(objects(QUICKSTART, "--replicas", "generate=8"), "ScaledObject")
    bounds = {name: (one["spec"]["minReplicaCount"], one["spec"]["maxReplicaCount"]) for name, one in scaled.items()}
    assert bounds.pop("quickstart-worker-generate") == (0, 8)
    assert set(bounds.values()) == {(0, 1)}


def test_a_step_that_only_a_worker_can_describe_keeps_one(tmp_path: Path) -> None:
    scaled = of_kind(objects(write_hard(tmp_path)), "ScaledObject")
    (big,) = (one for name, one in scaled.items() if name.endswith("-big"))
    assert big["spec"]["minReplicaCount"] == 1


def test_what_is_sent_while_no_worker_is_there_calls_for_all_of_them() -> None:
    settings = Settings()
    manager = Fold(generator("load"), step("slow", "load")).manager
    flow = FlowControl(manager, {"load": 2, "slow": 2}, settings, {"load": 0, "slow": 0})
    waiting = len(flow.choose({}, start_rows=True)["load"])
    for replicas in (1, 4, 12, 64):
        assert waiting >= lag_count(replicas, settings.dispatch_slack) * replicas


def test_where_more_workers_are_allowed_more_batches_are_sent() -> None:
    found = objects(QUICKSTART, "--replicas", "generate=200")
    variables = only(pods(found)["quickstart-coordinator"])["env"]
    assert {"name": "PENSTOCK_DISPATCH_SLACK", "value": "200"} in variables
    lag, _ = found["ScaledObject", "quickstart-worker-generate"]["spec"]["triggers"]
    assert lag["metadata"]["lagCount"] == "1"


def test_without_keda_each_deployment_has_its_replicas() -> None:
    found = objects(QUICKSTART, "--no-keda", "--replicas", "generate=4")
    assert not {"ScaledObject", "TriggerAuthentication"} & {kind for kind, _ in found}
    replicas = {name: one["spec"]["replicas"] for name, one in of_kind(found, "Deployment").items()}
    assert replicas["quickstart-worker-generate"] == 4
    assert len(found["NetworkPolicy", "quickstart-redis"]["spec"]["ingress"][0]["from"]) == 2
