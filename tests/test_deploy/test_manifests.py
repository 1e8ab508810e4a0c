"""The manifests: valid for the supported versions of Kubernetes, agreeing with the application and with each other."""

import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from bentoml._internal.container.generate import BENTO_PATH, BENTO_UID_GID

from service.jobs.supervisor import STOP_S
from service.settings import CORES_OF_A_PROCESS, FOREIGN, PREFIX, Settings
from service.wiring import create_api

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text("utf-8")
OLDEST, NEWEST = "1.30", "1.37"
"""Versions of Kubernetes whose schemas every object must fit; deploy/README.md names them."""
UPLOAD_BYTES = 2**30
"""Memory that a reader of an upload and the page cache of its answer are left, beside what benchmarks/start.py saw."""

SCALE = {"m": 0.001, "": 1, "Mi": 2**20, "Gi": 2**30}


def amount(quantity):
    number, unit = re.fullmatch(r"(\d+)(\D*)", str(quantity)).groups()
    return int(number) * SCALE[unit]


def probes(container):
    return {name: probe for name, probe in container.items() if name.endswith("Probe")}


def argument(container, name):
    words = [*container["command"], *container.get("args", [])]
    return words[words.index(name) + 1]


def test_every_file_is_part_of_a_kustomization(folder):
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    files = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
    assert files == {name for name in listed if not name.startswith("..")}


def test_kubectl_renders_the_same(folder, objects):
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here; it renders without a cluster")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True, timeout=60)
    plain = re.sub(r"\b(graft-settings)-[0-9a-z]{10}\b", r"\1", done.stdout)

    def ordered(found):
        return sorted(found, key=lambda o: (o["kind"], o["metadata"]["name"]))

    assert ordered(yaml.safe_load_all(plain)) == ordered(objects)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_fits_the_schema(objects, version):
    for made in objects:
        assert kubernetes_validate.validate(made, version, strict=True) == version


@pytest.mark.parametrize(
    "wrong",
    [{"replica": 1}, {"strategy": {"kind": "Recreate"}}, {"replicas": "1"}, {"selector": []}],
    ids=str,
)
def test_the_schemas_are_strict(one, wrong):
    deployment = one("Deployment")
    deployment["spec"] |= wrong
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def test_the_readme_names_the_supported_versions():
    assert f"Kubernetes {OLDEST} to {NEWEST}" in README


def test_there_is_never_a_second_pod(one):
    spec = one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert one("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_service_reads_every_variable(named, environment, monkeypatch):
    for name in [n for n in os.environ if n.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for container in named.values():
        variables = environment(container)
        assert FOREIGN.isdisjoint(variables), "variables of the client"
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                if name.startswith(PREFIX):
                    patched.setenv(name, "0" * 64 if value is None else value)
            settings = Settings.from_environment()
        assert str(settings.home) in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert environment(named["api"])["GRAFT_WORKERS"] == "0"


def test_containers_that_share_state_share_its_settings(named, environment):
    own = {"GRAFT_WORKERS", "GRAFT_BOOTSTRAP_KEY", "GRAFT_KEY_PEPPER"}
    api, worker = (
        {k: v for k, v in environment(named[name]).items() if k.startswith(PREFIX)} for name in ("api", "worker")
    )
    assert {k: v for k, v in api.items() if k not in own} == worker


def test_both_containers_run_one_image_that_an_overlay_names(folder, named):
    (image,) = {container["image"] for container in named.values()}
    assert (image == "graft:unset") == (folder.name == "base")
    assert not image.endswith(":latest")


def test_volumes_that_are_mounted_exist_and_are_used(pod, named, one):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = [mount["name"] for container in named.values() for mount in container["volumeMounts"]]
    assert set(mounted) == set(volumes)
    claims = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
    assert claims == {one("PersistentVolumeClaim")["metadata"]["name"]}
    assert all(mounted.count(name) == 1 for name, volume in volumes.items() if "emptyDir" in volume)


def test_what_is_written_beside_the_state_has_a_place(named, environment):
    for container in named.values():
        mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        variables = environment(container)
        assert "/tmp" in mounts
        assert variables["HOME"] in mounts
        assert Path(variables.get("BENTOML_HOME", "/tmp/x")).parent == Path("/tmp")


def test_probes_ask_for_pages_that_exist(named):
    pages = set(create_api().openapi()["paths"])
    asked = {
        (name, probe["httpGet"]["path"])
        for name, probe in probes(named["api"]).items()
        if probe["httpGet"]["port"] in {port["name"] for port in named["api"]["ports"]}
    }
    assert {path for _, path in asked} <= pages
    assert asked == {("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")}


def test_the_workers_probes_run_a_module_that_exists(named):
    assert "livenessProbe" in probes(named["worker"])
    for probe in probes(named["worker"]).values():
        python, m, module, *_ = probe["exec"]["command"]
        assert (python, m) == ("python", "-m")
        assert importlib.util.find_spec(module) is not None, module


def test_the_first_start_has_time_to_export(named, one):
    for container in named.values():
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    api = named["api"]["startupProbe"]
    assert one("Deployment")["spec"]["progressDeadlineSeconds"] > api["periodSeconds"] * api["failureThreshold"]


def test_a_heartbeat_may_wait_for_the_database(named):
    from service.database.engine import BUSY_TIMEOUT_S

    for probe in probes(named["worker"]).values():
        assert float(probe["exec"]["command"][-1]) > 2 * BUSY_TIMEOUT_S


def test_ports_agree(named, one):
    (port,) = named["api"]["ports"]
    assert "ports" not in named["worker"]
    assert argument(named["api"], "--port") == str(port["containerPort"])
    assert argument(named["api"], "--host") == "0.0.0.0"
    (served,) = one("Service")["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    policy = one("NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": port["containerPort"]}]}]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []


def test_prometheus_is_sent_to_a_page_that_exists(named, one):
    notes = one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/scrape"] == "true"
    assert notes["prometheus.io/port"] == str(named["api"]["ports"][0]["containerPort"])
    assert notes["prometheus.io/path"] in create_api().openapi()["paths"]


def test_selectors_find_the_pod(one):
    deployment = one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() <= labels
    assert one("Service")["spec"]["selector"].items() <= labels
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels


def test_processes_match_the_cpu_limit(named, environment):
    cores = amount(named["api"]["resources"]["limits"]["cpu"])
    assert int(environment(named["api"])["GRAFT_API_PROCESSES"]) == math.ceil(cores / CORES_OF_A_PROCESS)


def test_memory_fits_what_was_measured(named, environment):
    seen = json.loads((ROOT / "benchmarks" / "results" / "start.json").read_text())["after_texts"]
    rss = {row["role"]: row["rss_bytes"] for row in seen}
    api, worker = (named[name]["resources"] for name in ("api", "worker"))
    variables = environment(named["api"])
    processes = int(variables["GRAFT_API_PROCESSES"])
    idle = rss["parent"] + processes * rss["http"]
    assert amount(api["requests"]["memory"]) >= idle
    assert amount(api["limits"]["memory"]) >= idle + int(variables["GRAFT_HEADS_BYTES"]) + UPLOAD_BYTES / 2
    fit_bytes = int(environment(named["worker"])["GRAFT_FIT_MEMORY_BYTES"])
    assert amount(worker["requests"]["memory"]) >= rss["worker"] + rss["fit child"]
    assert amount(worker["limits"]["memory"]) >= rss["worker"] + fit_bytes + UPLOAD_BYTES / 2


def test_the_service_ends_within_its_grace(pod, named):
    asked_s = int(argument(named["api"], "--timeout-graceful-shutdown"))
    assert pod["terminationGracePeriodSeconds"] >= asked_s + 2 * STOP_S


def test_the_user_and_the_folders_are_the_images(pod, named):
    assert {pod["securityContext"][who] for who in ("runAsUser", "runAsGroup", "fsGroup")} == {BENTO_UID_GID}
    assert argument(named["api"], "serve") == BENTO_PATH
    assert named["worker"]["workingDir"] == f"{BENTO_PATH}/src"


def test_secrets_are_documented(named):
    asked = {
        (entry["valueFrom"]["secretKeyRef"]["name"], entry["valueFrom"]["secretKeyRef"]["key"])
        for container in named.values()
        for entry in container["env"]
        if "valueFrom" in entry
    }
    commands = re.findall(r"kubectl create secret generic (\S+)((?:.*\\\n)*.*)", README)
    documented = {(name, key) for name, rest in commands for key in re.findall(r"--from-literal=([^=]+)=", rest)}
    assert asked
    assert asked <= documented
