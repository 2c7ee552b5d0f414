"""`render kubernetes`: every field that is set, and that objects which speak of each other agree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from common.settings import Settings
from coordinator.commands.run import run
from tests.support.rendered import QUICKSTART, call, documents, objects, of_kind, only, pods, rendered, write_hard


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PENSTOCK_{name.upper()}", raising=False)


# what is there


def test_the_quickstart_has_an_object_for_each_part() -> None:
    kinds = [one["kind"] for one in documents(rendered("kubernetes", QUICKSTART))]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ConfigMap": 1,
        "PersistentVolumeClaim": 1,
        "Service": 1,
        "StatefulSet": 1,
        "NetworkPolicy": 3,
        "Deployment": 7,
        "Job": 1,
        "TriggerAuthentication": 1,
        "ScaledObject": 7,
    }


def test_every_object_is_in_the_namespace_and_has_the_pipelines_labels() -> None:
    found = objects(QUICKSTART, "--namespace", "team-a")
    assert {one["metadata"]["namespace"] for one in found.values()} == {"team-a"}
    assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in found.values()} == {"quickstart"}


def test_a_namespace_that_no_cluster_has_is_refused() -> None:
    result = call("render", "kubernetes", QUICKSTART, "--namespace", "Team_A")
    assert result.exit_code == 2
    assert "'Team_A' is not a valid namespace" in result.output


# selectors


def test_selectors_choose_the_pods_of_their_own_template_and_no_others(tmp_path: Path) -> None:
    found = objects(write_hard(tmp_path))
    templates = pods(found)
    for kind in ("Deployment", "StatefulSet"):
        for name, one in of_kind(found, kind).items():
            wanted = one["spec"]["selector"]["matchLabels"].items()
            assert [
                owner for owner, template in templates.items() if wanted <= template["metadata"]["labels"].items()
            ] == [name]


def test_only_the_coordinator_workers_and_keda_reach_redis() -> None:
    found = objects(QUICKSTART, "--keda-namespace", "scaler")
    templates = pods(found)
    policy = found["NetworkPolicy", "quickstart-redis"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"]["matchLabels"] == templates["quickstart-redis"]["metadata"]["labels"]
    ((rule,), ports) = policy["ingress"], policy["ingress"][0]["ports"]
    assert ports == [{"port": 6379, "protocol": "TCP"}]
    admitted = [one["podSelector"]["matchLabels"].items() for one in rule["from"] if "podSelector" in one]
    reach = {
        name
        for name, template in templates.items()
        if any(wanted <= template["metadata"]["labels"].items() for wanted in admitted)
    }
    assert reach == templates.keys() - {"quickstart-redis"}
    assert rule["from"][-1] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "scaler"}}}


def test_nobody_reaches_coordinator_or_workers() -> None:
    found = of_kind(objects(QUICKSTART), "NetworkPolicy")
    for component in ("coordinator", "worker"):
        spec = found[f"quickstart-{component}"]["spec"]
        assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
        assert spec["policyTypes"] == ["Ingress"]
        assert "ingress" not in spec


def test_the_service_leads_to_redis_and_everyone_asks_it() -> None:
    found = objects(QUICKSTART)
    service = found["Service", "quickstart-redis"]["spec"]
    redis = pods(found)["quickstart-redis"]
    assert service["selector"] == redis["metadata"]["labels"]
    (port,) = service["ports"]
    (named,) = only(redis)["ports"]
    assert (port["port"], port["targetPort"]) == (6379, named["name"])
    assert found["StatefulSet", "quickstart-redis"]["spec"]["serviceName"] == "quickstart-redis"
    for name, template in pods(found).items():
        if name != "quickstart-redis":
            variables = {one["name"]: one for one in only(template)["env"]}
            url = variables["PENSTOCK_BROKER_URL"]["value"]
            assert url == "redis://:$(PENSTOCK_REDIS_PASSWORD)@quickstart-redis:6379/0"
            assert next(iter(variables)) == "PENSTOCK_REDIS_PASSWORD"  # only what stands before is put in


# secrets


def test_secrets_are_spoken_of_and_stand_nowhere() -> None:
    found = objects(QUICKSTART)
    assert of_kind(found, "Secret") == {}
    reference = {"name": "quickstart-redis", "key": "password"}
    login = found["TriggerAuthentication", "quickstart-redis"]["spec"]["secretTargetRef"]
    assert login == [{"parameter": "password", **reference}]
    for template in pods(found).values():
        secrets = [one["valueFrom"]["secretKeyRef"] for one in only(template)["env"] if "valueFrom" in one]
        assert secrets == [reference]
        for source in only(template).get("envFrom", []):
            assert source == {"secretRef": {"name": "quickstart-keys", "optional": True}}


# Redis


def test_redis_keeps_what_it_is_given_and_throws_nothing_away() -> None:
    found = objects(QUICKSTART, "--redis-image", "valkey:8", "--storage-class", "fast")
    container = only(pods(found)["quickstart-redis"])
    assert container["image"] == "valkey:8"
    shell, option, script = container["command"]
    assert (shell, option) == ("sh", "-c")
    for line in ("appendonly yes", "maxmemory-policy noeviction", 'requirepass "$REDISCLI_AUTH"', "dir /data"):
        assert f"\n{line}\n" in script
    assert "exec redis-server - <<END" in script
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    (claim,) = found["StatefulSet", "quickstart-redis"]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert claim["spec"]["storageClassName"] == "fast"
    assert container["readinessProbe"]["exec"]["command"] == ["sh", "-c", "redis-cli ping | grep -q PONG"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": "redis"}


# pods


def test_every_pod_is_nobody_special(tmp_path: Path) -> None:
    for spec in (QUICKSTART, write_hard(tmp_path)):
        for template in pods(objects(spec)).values():
            pod = template["spec"]
            assert pod["automountServiceAccountToken"] is False
            security = pod["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["runAsUser"] == security["fsGroup"] > 0
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"] + pod.get("initContainers", []):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }


def test_every_mount_has_its_volume_and_every_volume_is_mounted(tmp_path: Path) -> None:
    for spec in (QUICKSTART, write_hard(tmp_path)):
        found = objects(spec)
        for name, template in pods(found).items():
            pod = template["spec"]
            volumes = {one["name"] for one in pod.get("volumes", [])}
            volumes |= {"data"} if name.endswith("-redis") else set()
            containers = pod["containers"] + pod.get("initContainers", [])
            assert {mount["name"] for one in containers for mount in one["volumeMounts"]} == volumes
            for container in containers:
                paths = [mount["mountPath"] for mount in container["volumeMounts"]]
                assert len(set(paths)) == len(paths)
            for volume in pod.get("volumes", []):
                if "configMap" in volume:
                    assert ("ConfigMap", volume["configMap"]["name"]) in found
                if "persistentVolumeClaim" in volume:
                    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in found


def test_pods_get_longer_to_end_than_batches_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_GRACE", "120.5")
    for name, template in pods(objects(QUICKSTART)).items():
        if name != "quickstart-redis":
            assert template["spec"]["terminationGracePeriodSeconds"] == 151
            assert {"name": "PENSTOCK_GRACE", "value": "120.5"} in only(template)["env"]


def test_a_broker_that_is_away_ends_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PATIENCE", "1000")
    for name, template in pods(objects(QUICKSTART)).items():
        if name != "quickstart-redis":
            probe = only(template)["livenessProbe"]
            assert probe["exec"]["command"] == ["python", "-P", "-m", "common.health"]
            assert probe["periodSeconds"] * probe["failureThreshold"] > 1000 + 60


# coordinator


def test_the_job_runs_the_spec_and_goes_on_after_a_lost_pod() -> None:
    found = objects(
        QUICKSTART, "--set", "generate.llm.prefix=$(HOME)", "--payloads", "s3://bucket/rows", "--run-id", "seven"
    )
    job = found["Job", "quickstart-coordinator"]["spec"]
    pod = job["template"]["spec"]
    arguments = only(job["template"])["args"]
    assert arguments[:3] == ["pipeline-coordinator", "run", "/work/quickstart.yaml"]
    place = arguments.index("--set")
    assert arguments[place : place + 2] == ["--set", "generate.llm.prefix=$$(HOME)"]
    context = run.make_context("run", [argument.replace("$$(", "$(") for argument in arguments[2:]])
    assert context.params["workers"] == "external"
    assert context.params["standby"] is True
    assert context.params["run_id"] == "seven"
    assert context.params["payloads"] == "s3://bucket/rows"
    assert str(context.params["output"]) == "/output/quickstart"
    assert pod["restartPolicy"] == "Never"
    assert job["backoffLimit"] == 6
    again, stopped, over = job["podFailurePolicy"]["rules"]
    assert again == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert (stopped["action"], stopped["onExitCodes"]["values"]) == ("Ignore", [75, 130])
    assert (over["action"], over["onExitCodes"]["values"]) == ("FailJob", [2, 3, 5])
    assert {one["onExitCodes"]["containerName"] for one in (stopped, over)} == {only(job["template"])["name"]}


def test_what_the_coordinator_writes_outlives_its_pod() -> None:
    job = pods(objects(QUICKSTART))["quickstart-coordinator"]
    variables = {one["name"]: one.get("value") for one in only(job)["env"]}
    assert variables["PENSTOCK_CACHE_DIR"] == "/output/cache"
    assert {"name": "data", "mountPath": "/output", "subPath": "output"} in only(job)["volumeMounts"]


def test_the_spec_and_the_modules_that_it_needs_are_where_the_coordinator_reads_them() -> None:
    found = objects(QUICKSTART)
    data = found["ConfigMap", "quickstart-spec"]["data"]
    assert data == {
        "quickstart.yaml": QUICKSTART.read_text(),
        "mysteps.py": QUICKSTART.with_name("mysteps.py").read_text(),
    }
    mounts = only(pods(found)["quickstart-coordinator"])["volumeMounts"]
    for name in data:
        assert {"name": "spec", "mountPath": f"/work/{name}", "subPath": name, "readOnly": True} in mounts


def test_the_coordinator_waits_for_redis_and_for_the_files_of_the_spec(tmp_path: Path) -> None:
    (wait,) = pods(objects(QUICKSTART))["quickstart-coordinator"]["spec"]["initContainers"]
    assert "('quickstart-redis', 6379)" in wait["command"][-1]
    assert "until test -e /work/data/shakespeare.jsonl;" in wait["command"][-1]
    (wait,) = next(
        template["spec"]["initContainers"]
        for name, template in pods(objects(write_hard(tmp_path))).items()
        if name.endswith("-coordinator")
    )
    assert "until test -e /work/in;" in wait["command"][-1]
    assert subprocess.run(["sh", "-n", "-c", wait["command"][-1]], check=False).returncode == 0


def test_a_spec_too_large_for_a_config_map_is_refused_in_words(tmp_path: Path) -> None:
    spec = tmp_path / "large.yaml"
    rows = ", ".join(f"{{instruction: {'x' * 1000}}}" for _ in range(1000))
    spec.write_text(f"name: large\nsteps:\n  load: {{type: LoadDataFromDicts, data: [{rows}]}}\n")
    result = call("render", "kubernetes", spec)
    assert result.exit_code == 2
    assert "a ConfigMap takes 1,000,000" in result.output


# workers


def test_each_step_has_workers_that_serve_it_with_what_it_needs() -> None:
    found = objects(QUICKSTART, "--image", "registry.example/mine:3", "--model-claim", "models")
    wanted = {
        "load": ("", True),
        "clean": ("--allow mysteps --base-dir /work", False),
        "unique": ("--allow mysteps --base-dir /work", False),
        "generate": ("", False),
        "judge": ("", False),
        "good": ("", False),
        "keep": ("", False),
    }
    for name, (options, reads_files) in wanted.items():
        template = pods(found)[f"quickstart-worker-{name}"]
        worker = only(template)
        command = f"pipeline-worker --step {name} --stay --pipeline quickstart {options}".split()
        assert worker["args"] == command
        assert "command" not in worker  # the image's entry point hands signals on
        assert worker["image"] == "registry.example/mine:3"
        files = {"name": "data", "mountPath": "/work", "subPath": "work"}
        assert (files in worker["volumeMounts"]) == reads_files
        assert worker["readinessProbe"]["exec"]["command"] == ["python", "-P", "-m", "common.health"]
        models = next(one for one in template["spec"]["volumes"] if one["name"] == "models")
        assert models["persistentVolumeClaim"] == {"claimName": "models"}


def test_the_claim_is_for_many_nodes_where_workers_read_files_of_it(tmp_path: Path) -> None:
    spec = tmp_path / "plain.yaml"
    spec.write_text("name: plain\nsteps:\n  load: {type: LoadDataFromDicts, data: [{instruction: a}]}\n")
    claim = objects(spec, "--storage", "5Gi")["PersistentVolumeClaim", "plain-data"]["spec"]
    assert claim["accessModes"] == ["ReadWriteOnce"]
    assert claim["resources"] == {"requests": {"storage": "5Gi"}}
    claim = objects(QUICKSTART)["PersistentVolumeClaim", "quickstart-data"]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]


def test_resources_of_the_spec_are_those_of_the_pod(tmp_path: Path) -> None:
    found = {
        one["metadata"]["annotations"]["penstock/step"]: one["spec"]
        for one in of_kind(objects(write_hard(tmp_path)), "Deployment").values()
    }
    (worker,) = found["no"]["template"]["spec"]["containers"]
    assert worker["resources"] == {
        "requests": {"cpu": "1.5", "memory": "8000000000"},
        "limits": {"memory": "8000000000", "nvidia.com/gpu": "2"},
    }
    assert worker["args"][2] == "no"
    assert found["no"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert {"name": "memory", "emptyDir": {"medium": "Memory"}} in found["no"]["template"]["spec"]["volumes"]
    (worker,) = found["load-all"]["template"]["spec"]["containers"]
    assert worker["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}}
    assert found["load-all"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


# the whole


def test_the_run_has_another_id_when_the_spec_is_another(tmp_path: Path) -> None:
    def run_id(*options: str) -> str:
        found = objects(write_hard(tmp_path), *options)
        (job,) = of_kind(found, "Job").values()
        return str(job["spec"]["template"]["metadata"]["annotations"]["penstock/run"])

    assert run_id() == run_id()
    assert run_id() != run_id("--set", "no.retries=3")
    assert run_id().startswith("9.Quotes_Big-")


def test_kubeconform_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("kubeconform") is None:
        pytest.skip("kubeconform is not installed")
    for number, spec in enumerate((QUICKSTART, write_hard(tmp_path))):
        call("render", "kubernetes", spec, "--output", tmp_path / str(number))
        command = ["kubeconform", "-strict", "-skip", "ScaledObject,TriggerAuthentication", str(tmp_path / str(number))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
