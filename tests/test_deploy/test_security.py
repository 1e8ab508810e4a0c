"""Every container of the pod is locked down; one added later is held to it too, and each point is seen to be held."""

import copy
import re

import pytest

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?")
SCALE = {"m": 0.001, None: 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
RESOURCES = ("cpu", "memory", "ephemeral-storage")
SECRET = re.compile(r"KEY|PEPPER|SECRET|TOKEN|PASSWORD")


def amount(quantity: object) -> float:
    number, unit = QUANTITY.fullmatch(str(quantity)).groups()
    return float(number) * SCALE[unit]


def weaknesses(pod):
    """What is less locked down than it should be, one line each."""
    found = [*_of_pod(pod), *_of_volumes(pod)]
    for field, members in pod.items():
        if field.lower().endswith("containers"):
            found += [f"{c['name']}: {line}" for c in members for line in _of_container(pod, field, c)]
    return found


def _of_pod(pod):
    context = pod.get("securityContext", {})
    checks = {
        "has a service-account token": pod.get("automountServiceAccountToken") is False,
        "has a service account": "serviceAccountName" not in pod,
        "takes unknown GRAFT_* variables from the names of Services": pod.get("enableServiceLinks") is False,
        "shares the host's namespaces": not any(pod.get(f"host{what}") for what in ("Network", "PID", "IPC")),
        "may be root": context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0,
        "may be in root's group": context.get("runAsGroup", 0) > 0 and context.get("fsGroup", 0) > 0,
        "changes the volume's owners at every start": context.get("fsGroupChangePolicy") == "OnRootMismatch",
        "has no seccomp profile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
        "sets kernel parameters": "sysctls" not in context,
    }
    return [line for line, holds in checks.items() if not holds]


def _of_volumes(pod):
    for volume in pod["volumes"]:
        (kind,) = set(volume) - {"name"}
        if kind not in {"persistentVolumeClaim", "emptyDir", "configMap", "secret"}:
            yield f"volume {volume['name']} is a {kind}"
        elif kind == "emptyDir" and not amount(volume[kind].get("sizeLimit", 0)) > 0:
            yield f"volume {volume['name']} has no size limit"


def _of_container(pod, field, container):
    context = container.get("securityContext", {})
    user = pod["securityContext"] | context
    empty = {v["name"]: v["emptyDir"].get("sizeLimit", 0) for v in pod["volumes"] if "emptyDir" in v}
    mounted = sum(amount(empty.get(mount["name"], 0)) for mount in container.get("volumeMounts", []))
    resources = container.get("resources", {})
    requests, limits = ({r: amount(resources.get(k, {}).get(r, 0)) for r in RESOURCES} for k in ("requests", "limits"))
    secrets = [e.get("valueFrom", {}) for e in container.get("env", []) if SECRET.search(e["name"])]
    checks = {
        "may gain privileges": context.get("allowPrivilegeEscalation") is False and not context.get("privileged"),
        "has capabilities": context.get("capabilities") == {"drop": ["ALL"]},
        "can write to its root": context.get("readOnlyRootFilesystem") is True,
        "may be root": user["runAsNonRoot"] is True and user["runAsUser"] > 0 and user["runAsGroup"] > 0,
        "has another seccomp profile": user.get("seccompProfile") == {"type": "RuntimeDefault"},
        "asks for nothing": all(requests.values()),
        "has no limits": all(limits.values()),
        "asks for more than its limits": all(requests[r] <= limits[r] for r in RESOURCES if limits[r]),
        "may use more disk than its limit": mounted < limits["ephemeral-storage"],
        "listens on the host": not any("hostPort" in port for port in container.get("ports", [])),
        "has no liveness probe": "livenessProbe" in container or field == "initContainers",
        "has a secret in plain text": all(set(source) == {"secretKeyRef"} for source in secrets),
        "starts without its secret": not any(source.get("secretKeyRef", {}).get("optional") for source in secrets),
        "takes whole Secrets": all(set(source) == {"configMapRef"} for source in container.get("envFrom", [])),
    }
    return [line for line, holds in checks.items() if not holds]


def test_every_container_is_locked_down(pod):
    assert weaknesses(pod) == []


def test_settings_hold_no_secrets(objects):
    assert [o["kind"] for o in objects if o["kind"] == "Secret"] == []
    assert [name for o in objects if o["kind"] == "ConfigMap" for name in o["data"] if SECRET.search(name)] == []


def _set(place, name, value):
    place[name] = value


BREAKS = {
    "has a service-account token": lambda p: p.pop("automountServiceAccountToken"),
    "has a service account": lambda p: _set(p, "serviceAccountName", "graft"),
    "takes unknown GRAFT_* variables": lambda p: p.pop("enableServiceLinks"),
    "shares the host's namespaces": lambda p: _set(p, "hostPID", True),
    "may be root": lambda p: _set(p["securityContext"], "runAsUser", 0),
    "may be in root's group": lambda p: p["securityContext"].pop("fsGroup"),
    "changes the volume's owners": lambda p: p["securityContext"].pop("fsGroupChangePolicy"),
    "has no seccomp profile": lambda p: _set(p["securityContext"]["seccompProfile"], "type", "Unconfined"),
    "sets kernel parameters": lambda p: _set(p["securityContext"], "sysctls", []),
    "volume api-tmp has no size limit": lambda p: p["volumes"][1]["emptyDir"].clear(),
    "volume home is a hostPath": lambda p: _set(p["volumes"], 0, {"name": "home", "hostPath": {"path": "/"}}),
}

CONTAINER_BREAKS = {
    "may gain privileges": lambda c: c["securityContext"].pop("allowPrivilegeEscalation"),
    "has capabilities": lambda c: _set(c["securityContext"], "capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    "can write to its root": lambda c: _set(c["securityContext"], "readOnlyRootFilesystem", False),
    "may be root": lambda c: _set(c["securityContext"], "runAsUser", 0),
    "has another seccomp profile": lambda c: _set(c["securityContext"], "seccompProfile", {"type": "Unconfined"}),
    "asks for nothing": lambda c: c["resources"]["requests"].pop("memory"),
    "has no limits": lambda c: c["resources"]["limits"].pop("memory"),
    "asks for more than its limits": lambda c: _set(c["resources"]["requests"], "cpu", "2500m"),
    "may use more disk than its limit": lambda c: _set(c["resources"]["limits"], "ephemeral-storage", "512Mi"),
    "listens on the host": lambda c: _set(c, "ports", [{"containerPort": 1, "hostPort": 1}]),
    "has no liveness probe": lambda c: c.pop("livenessProbe"),
    "has a secret in plain text": lambda c: c["env"].append({"name": "GRAFT_BOOTSTRAP_KEY", "value": "secret"}),
    "starts without its secret": lambda c: c["env"].append(
        {"name": "GRAFT_KEY_PEPPER", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k", "optional": True}}}
    ),
    "takes whole Secrets": lambda c: c["envFrom"].append({"secretRef": {"name": "graft-keys"}}),
}


@pytest.mark.parametrize("line", BREAKS)
def test_each_point_of_a_pod_is_held(pod, line):
    broken = copy.deepcopy(pod)
    BREAKS[line](broken)
    assert any(line in seen for seen in weaknesses(broken))


@pytest.mark.parametrize("line", CONTAINER_BREAKS)
@pytest.mark.parametrize("index", [0, 1])
def test_each_point_of_a_container_is_held(pod, index, line):
    broken = copy.deepcopy(pod)
    CONTAINER_BREAKS[line](broken["containers"][index])
    assert weaknesses(broken) == [f"{broken['containers'][index]['name']}: {line}"]


@pytest.mark.parametrize("field", ["containers", "initContainers", "ephemeralContainers"])
def test_a_container_added_later_is_held_too(pod, field):
    broken = copy.deepcopy(pod)
    broken.setdefault(field, []).append({"name": "later", "image": "later:1"})
    assert len([line for line in weaknesses(broken) if line.startswith("later: ")]) >= 5
