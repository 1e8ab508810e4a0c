"""The pod without a cluster: the manifests' containers on the built bento, in namespaces of the kernel's own.

A read-only root, the manifests' user without capabilities, their commands, variables, volumes, probes and signals, and
a network with nothing in it but loopback. Not what only a cluster has: the scheduler, limits of CPU and memory,
seccomp, the storage class, the Service and the NetworkPolicy.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("container.sh")
TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "mount", "ip", "bash")
KEY = "0123456789abcdef" * 4
SECRETS = {"GRAFT_BOOTSTRAP_KEY": KEY, "GRAFT_KEY_PEPPER": "fedcba9876543210" * 4}
IMAGE = {
    "PATH": "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin",
    "BENTOML_CONTAINERIZED": "true",
    "PYTHONUNBUFFERED": "1",
}
"""What BentoML's Dockerfile sets, beside the bento's own variables."""

USE = """
import sys
import httpx
from graft import Client

url, key, pages = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
words = {"refund": ["money back", "refund", "reimburse me"], "delivery": ["my parcel", "not delivered", "courier"]}
with Client(url, key=key) as client:
    client.ready(timeout_s=120)
    version = client.fit([(text, label) for label, texts in words.items() for text in texts], name="intents")
    print(version.ref, [p.label for p in client.predict("intents", ["refund", "my parcel"])])
for page in pages:  # as the kubelet asks: by the pod's address, without a key
    print(page, httpx.get(url + page, headers={"Host": "10.1.2.3:3000"}).status_code)
print("without a key", httpx.get(url + "/v1/adapters").status_code)
"""


@dataclass(frozen=True)
class Running:
    """A container that runs."""

    outer: subprocess.Popen
    variables: list[str]
    user: str
    workdir: str
    log: Path

    def has_begun(self) -> bool:
        """It is in its own root."""
        assert self.outer.poll() is None, self.log.read_text()
        return any(
            Path(f"/proc/{p.pid}/root").readlink() != Path("/") for p in psutil.Process(self.outer.pid).children()
        )

    @property
    def first(self) -> psutil.Process:
        """Its process 1."""
        (found,) = psutil.Process(self.outer.pid).children()
        return found

    def execute(self, command) -> subprocess.CompletedProcess:
        """What `kubectl exec`, or an exec probe, does."""
        enter = ["nsenter", "-t", str(self.first.pid), "-m", "-p", "-n", "-r"]
        who = ["setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups", "--no-new-privs"]
        inside = ["env", "-i", *self.variables, "bash", "-c", 'cd "$0" && exec "$@"', self.workdir, *command]
        return subprocess.run([*enter, *who, *inside], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def bento(tmp_path_factory):
    home = tmp_path_factory.mktemp("bentoml")
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"},
        check=True,
        capture_output=True,
    )
    (built,) = [path.parent for path in home.glob("bentos/graft/*/bento.yaml")]
    built.chmod(0o755)  # as the image has it; BentoML builds in a folder of the builder's own
    return built


@pytest.fixture
def network():
    """The id of a process in a network of its own."""
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS):
        pytest.skip(f"needs root and {', '.join(TOOLS)}")
    trial = "mount -t tmpfs t /mnt && cd /mnt && mkdir u w r && mount -t overlay o -o lowerdir=/,upperdir=u,workdir=w r"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "bash", "-c", trial], check=False).returncode:
        pytest.skip("this machine does not allow namespaces with mounts of their own")
    hold = ["unshare", "--net", "bash", "-c", "ip link set lo up && echo up && exec sleep 900"]
    with subprocess.Popen(hold, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"up\n"
        yield holder.pid
        holder.kill()


@pytest.fixture
def start(bento, pod, named, environment, network, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o770)
    user = str(pod["securityContext"]["runAsUser"])
    os.chown(volume, int(user), pod["securityContext"]["fsGroup"])
    baked = {e["name"]: e["value"] for e in yaml.safe_load((bento / "bento.yaml").read_text())["envs"]}
    limits = {v["name"]: v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if "emptyDir" in v}
    running = []

    def begin(name):
        container = named[name]
        given = {k: SECRETS[k] if v is None else v for k, v in environment(container).items()}
        variables = [f"{k}={v}" for k, v in (IMAGE | baked | given | {"GRAFT_BACKBONES": "fake"}).items()]
        mount = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "home")
        workdir = container.get("workingDir", "/home/bentoml/bento")
        log = tmp_path / f"{name}.log"
        apart = ["nsenter", "-t", str(network), "-n", "unshare", "--mount", "--pid", "--fork"]
        place = [tmp_path / name, bento, volume, mount, user, limits[f"{name}-tmp"].removesuffix("i"), sys.prefix]
        place += [ROOT, workdir]
        command = [*container["command"], *container.get("args", [])]
        with log.open("wb") as out:
            words = [*apart, "bash", SCRIPT, *place, *variables, "--", *command]
            outer = subprocess.Popen([str(word) for word in words], stdout=out, stderr=out)
        running.append(Running(outer, variables, user, workdir, log))
        until(running[-1].has_begun)
        return running[-1]

    yield begin
    for container in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(container.outer.pid).children():  # with process 1 goes its whole namespace
                process.kill()
        container.outer.wait(30)


def use(network, named):
    pages = ",".join(sorted({p["httpGet"]["path"] for n, p in named["api"].items() if n.endswith("Probe")}))
    inside = ["nsenter", "-t", str(network), "-n", sys.executable, "-c", USE, "http://127.0.0.1:3000", KEY, pages]
    return subprocess.run(inside, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def probe(container, spec):
    """Runs an exec probe until it succeeds, as often as the manifest allows."""
    for _ in range(spec["failureThreshold"]):
        done = container.execute(spec["exec"]["command"])
        if done.returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(done.stderr)


def answers(network):
    """Whether the service answers. BentoML's supervisor loses a signal that comes while it replaces a process."""
    ask = "import httpx; httpx.get('http://127.0.0.1:3000/livez', timeout=2).raise_for_status()"
    inside = ["nsenter", "-t", str(network), "-n", sys.executable, "-c", ask]
    return subprocess.run(inside, capture_output=True, timeout=30, check=False).returncode == 0


def http_processes(container):
    return [p for p in container.first.children() if p.status() != psutil.STATUS_ZOMBIE]


def until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)


@pytest.mark.parametrize("folder", ["base"], indirect=True)
def test_the_pod_works_on_a_read_only_root_without_a_network(start, pod, named, network):
    api, worker = start("api"), start("worker")
    probe(worker, named["worker"]["startupProbe"])
    used = use(network, named)
    logs = api.log.read_text() + worker.log.read_text()
    assert used.returncode == 0, used.stderr + logs
    expected = ["intents:1 ['refund', 'delivery']", "/livez 200", "/readyz 200", "without a key 401"]
    assert used.stdout.splitlines() == expected

    for container in (api, worker):
        assert container.execute(["touch", "/home/bentoml/bento/src/service/new"]).returncode == 1
        assert container.execute(["touch", "/new"]).returncode == 1
        assert container.execute(["id", "-u"]).stdout == "1034\n"
        written = container.execute(["find", "/tmp", "-xdev", "-iname", "*microsoft*"]).stdout
        assert written == "", "ONNX Runtime's telemetry is on"
    probe(worker, named["worker"]["livenessProbe"])

    wanted = int(dict(v.split("=", 1) for v in api.variables)["GRAFT_API_PROCESSES"])
    assert len(http_processes(api)) == wanted
    killed = http_processes(api)[0]
    killed.kill()
    until(lambda: answers(network))
    assert killed not in http_processes(api)
    assert len(http_processes(api)) == wanted

    begun = time.monotonic()
    for container in (api, worker):
        container.first.send_signal(signal.SIGTERM)
    codes = [c.outer.wait(pod["terminationGracePeriodSeconds"]) for c in (api, worker)]
    assert codes == [0, 0], api.log.read_text() + worker.log.read_text()
    assert time.monotonic() - begun < pod["terminationGracePeriodSeconds"] / 2


@pytest.mark.parametrize("folder", ["base"], indirect=True)
def test_a_worker_that_is_stuck_fails_its_probe(start, named, network):
    worker = start("worker")
    command = [*named["worker"]["livenessProbe"]["exec"]["command"][:-1], "2"]
    until(lambda: worker.execute(command).returncode == 0)
    worker.first.suspend()
    until(lambda: worker.execute(command).returncode == 1)
    assert "last heard of" in worker.execute(command).stderr
    worker.first.resume()
    until(lambda: worker.execute(command).returncode == 0)
