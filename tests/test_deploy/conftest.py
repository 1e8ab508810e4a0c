"""The manifests, rendered: a reader of as much of kustomize as deploy/k8s uses, which refuses what it does not know."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
FOLDERS = {"base": K8S / "base", "example": K8S / "overlays" / "example"}
CLUSTER_SCOPED = {"Namespace"}

Object = dict[str, Any]


class Strict(yaml.SafeLoader):
    """YAML whose mappings name each key once: PyYAML would take the last, kubectl refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"named twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Object]:
    return [found for found in yaml.load_all(text, Strict) if found is not None]


def known(fields: Object, *names: str) -> Object:
    """The fields, when the reader knows all of them."""
    unknown = set(fields) - set(names)
    assert not unknown, f"this reader of kustomize does not know {sorted(unknown)}; kubectl kustomize does"
    return fields


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization, in the order of its resources; generated names have no hash behind them."""
    (file,) = documents((folder / "kustomization.yaml").read_text("utf-8"))
    known(file, "apiVersion", "kind", "namespace", "resources", "images", "patches", "configMapGenerator")
    assert (file["apiVersion"], file["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    objects: list[Object] = []
    for name in file.get("resources", []):
        path = (folder / name).resolve()
        objects += render(path) if path.is_dir() else documents(path.read_text("utf-8"))
    for generator in file.get("configMapGenerator", []):
        _generate(objects, **known(generator, "name", "literals", "behavior"))
    for image in file.get("images", []):
        _rename(objects, **known(image, "name", "newName", "newTag"))
    for patch in file.get("patches", []):
        known(patch["target"], "kind", "name")
        _patch(_one(objects, **patch["target"]), known(patch, "target", "patch")["patch"])
    for made in objects:
        if "namespace" in file and made["kind"] not in CLUSTER_SCOPED:
            made["metadata"]["namespace"] = file["namespace"]
    return objects


def _one(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def _generate(objects: list[Object], name: str, literals: list[str], behavior: str = "create") -> None:
    pairs = [literal.partition("=")[::2] for literal in literals]
    assert len(dict(pairs)) == len(pairs), f"{name} names a setting twice"
    assert behavior in {"create", "merge"}, behavior
    if behavior == "merge":
        _one(objects, "ConfigMap", name)["data"].update(pairs)
    else:
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(pairs)})


def _rename(objects: list[Object], name: str, newName: str, newTag: str) -> None:
    using = [c for pod in pods(objects) for c in containers(pod) if c["image"].partition(":")[0] == name]
    assert using, f"no container has the image {name}"
    for container in using:
        container["image"] = f"{newName}:{newTag}"


def _patch(target: Object, text: str) -> None:
    (steps,) = documents(text)
    for step in steps:
        known(step, "op", "path", "value")
        *way, last = step["path"].removeprefix("/").split("/")
        place = target
        for name in way:
            place = place[name]
        assert step["op"] in {"add", "replace"}, step["op"]
        assert (last in place) == (step["op"] == "replace"), f"{step['op']} of {step['path']}"
        place[last] = step["value"]


def pods(objects: list[Object]) -> Iterator[Object]:
    """The pod of every object that has one."""
    for made in objects:
        template = made.get("spec", {}).get("template")
        if made["kind"] == "Pod" or template is not None:
            yield (made if template is None else template)["spec"]


def containers(pod: Object) -> list[Object]:
    """Every container of a pod, of whatever sort."""
    return [c for field, found in pod.items() if field.lower().endswith("containers") for c in found]


@pytest.fixture(params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest) -> Path:
    return FOLDERS[request.param]


@pytest.fixture
def objects(folder: Path) -> list[Object]:
    """Every object of one kustomization."""
    return render(folder)


@pytest.fixture
def pod(objects: list[Object]) -> Object:
    """The only pod."""
    (found,) = pods(objects)
    return found


@pytest.fixture
def one(objects: list[Object]) -> Callable[[str], Object]:
    """The only object of a kind."""

    def find(kind: str) -> Object:
        (found,) = [o for o in objects if o["kind"] == kind]
        return found

    return find


@pytest.fixture
def named(pod: Object) -> dict[str, Object]:
    """The containers by name."""
    found = containers(pod)
    assert len({c["name"] for c in found}) == len(found)
    return {c["name"]: c for c in found}


@pytest.fixture
def environment(objects: list[Object]) -> Callable[[Object], dict[str, str | None]]:
    """The variables of a container, in the order in which a cluster sets them; None for what a Secret says."""

    def read(container: Object) -> dict[str, str | None]:
        variables: dict[str, str | None] = {}
        for source in container.get("envFrom", []):
            variables |= _one(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container.get("env", []):
            assert len(entry) == 2, entry
            variables[entry["name"]] = entry.get("value")
        return copy.copy(variables)

    return read
