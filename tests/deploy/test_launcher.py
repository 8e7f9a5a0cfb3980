"""Ray's cluster launcher: deploy/ray-up.yaml by the schema that Ray itself checks it with."""

import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy.files import ROOT, document, text

LAUNCHER = yaml.safe_load(text("ray-up.yaml"))
# What Ray asks for at more than one host, where its own choice would be a port at random.
PINNED = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "min-worker-port",
    "max-worker-port",
)


def schema():
    """Found without importing Ray, which reads its settings when it is loaded."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


def starts() -> dict[str, str]:
    """Head and worker -> how Ray is started there."""
    return {
        role: next(one for one in LAUNCHER[f"{role}_start_ray_commands"] if "ray start" in one)
        for role in ("head", "worker")
    }


def options(command: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+)=(\S+)", command))


def test_it_is_what_the_launcher_reads():
    jsonschema.validate(LAUNCHER, schema())


@pytest.mark.parametrize(
    "broken",
    [
        {"clustername": "perfuse"},
        {"max_workers": "2"},
        {"auth": {"user": "me"}},
        {"provider": {"head_ip": "10.0.0.1"}},
        {"setup_commands": "make venv"},
    ],
    ids=["unknown", "text for a number", "unknown below", "no type", "text for a list"],
)
def test_the_schema_finds_what_is_planted(broken):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**LAUNCHER, **broken}, schema())


def test_it_is_for_machines_that_are_there():
    """A local provider takes hosts by address; kinds of nodes and their limits are the clouds'."""
    provider = LAUNCHER["provider"]
    assert provider["type"] == "local"
    assert provider["head_ip"] not in provider["worker_ips"]
    assert LAUNCHER["max_workers"] == len(provider["worker_ips"])
    assert not LAUNCHER.keys() & {"available_node_types", "head_node_type", "docker"}


def test_every_start_of_ray_asks_for_the_token():
    """Which lies where Ray looks for it, and is in no file of this folder."""
    assert all("RAY_AUTH_MODE=token" in command for command in starts().values())
    assert "~/.ray/auth_token" in LAUNCHER["file_mounts"]
    assert "chmod 600 ~/.ray/auth_token" in LAUNCHER["setup_commands"]
    assert "RAY_AUTH_TOKEN" not in text("ray-up.yaml")


def test_ports_are_pinned_alike_and_apart():
    head, worker = (options(command) for command in starts().values())
    pinned = {name: int(head[name]) for name in PINNED}
    assert pinned == {name: int(worker[name]) for name in PINNED}
    workers = range(pinned.pop("min-worker-port"), pinned.pop("max-worker-port") + 1)
    single = [*pinned.values(), int(head["port"]), 8265, 10001]
    assert len(set(single)) == len(single)
    assert not [port for port in single if port in workers]
    assert worker["address"] == f"$RAY_HEAD_IP:{head['port']}"


def test_the_page_about_ray_lists_the_ports():
    page = (ROOT / "docs" / "ray.md").read_text(encoding="utf-8")
    head = options(starts()["head"])
    missing = [name for name in PINNED if f"`--{name}" not in page or head[name] not in page]
    assert missing == []


def test_hosts_get_what_the_tests_ran_with():
    (install,) = [one for one in LAUNCHER["setup_commands"] if "pip install" in one]
    for file in ("constraints.txt", "deploy/constraints.txt"):
        assert f"--constraint {file}" in install
        assert (ROOT / file).is_file()
    assert "'.[ucx]'" in install
    assert list(LAUNCHER["file_mounts"].values()).count(".") == 1


def test_it_runs_the_ray_of_the_manifests():
    """One version of Ray everywhere: the hosts' comes from constraints.txt, as the image's does."""
    version = document("kuberay/raycluster.yaml", "RayCluster")["spec"]["rayVersion"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={version}" in pins
