"""Kubernetes: the manifests agree with the project and with each other."""

import ast
import json
import re
import shlex
import tomllib

import pytest
import typer
import yaml

from cluster.cli.main import app
from tests.deploy.files import MANIFESTS, ROOT, document, documents, pods, ray_spec, text

SECRET = {"name": "perfuse-token", "key": "auth_token"}  # KubeRay asks for this key
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CASES = [(name, group) for name in MANIFESTS for group in pods(name)]


def job_pod():
    return document("kuberay/raycluster.yaml", "Job")["spec"]["template"]["spec"]


def all_pods():
    return [*(pods(name)[group] for name, group in CASES), job_pod()]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_scenario_is_the_one_that_is_shipped(name):
    shipped = (ROOT / "configs/scenarios/demo.yaml").read_text(encoding="utf-8")
    assert document(name, "ConfigMap")["data"] == {"demo.yaml": shipped}


def test_both_run_the_same_ray_cluster():
    assert ray_spec(MANIFESTS[0]) == ray_spec(MANIFESTS[1])


def test_both_fit_into_one_namespace():
    """But for the scenario, which is the same object in both."""
    names = [
        (one["kind"], one["metadata"]["name"])
        for name in MANIFESTS
        for one in documents(name)
        if one["kind"] != "ConfigMap"
    ]
    assert len(set(names)) == len(names)
    services = [f"{name}-head-svc" for kind, name in names if kind.startswith("Ray")]
    assert len(set(services)) == 2


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_is_the_version_that_the_tests_ran_with(name):
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={ray_spec(name)['rayVersion']}" in pins


def test_all_containers_are_this_version_of_the_image():
    images = {container["image"] for pod in all_pods() for container in pod["containers"]}
    assert images == {f"perfuse:{PROJECT['version']}"}
    assert f"--tag perfuse:{PROJECT['version']} ." in text("Dockerfile")


def test_no_container_is_root_or_may_become_it():
    for pod in all_pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_user_is_the_images():
    user = re.search(r"^USER (\d+):(\d+)$", text("Dockerfile"), re.MULTILINE)
    assert user is not None
    for pod in all_pods():
        context = pod["securityContext"]
        assert [context["runAsUser"], context["runAsGroup"]] == [int(one) for one in user.groups()]


@pytest.mark.parametrize(("name", "group"), CASES)
def test_what_is_mounted_is_there(name, group):
    pod = pods(name)[group]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == volumes.keys()
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    scenario = volumes[mounts["/etc/perfuse"]]["configMap"]["name"]
    assert scenario == document(name, "ConfigMap")["metadata"]["name"]


@pytest.mark.parametrize(("name", "group"), CASES)
def test_shared_memory_fits_into_the_memory_it_counts_in(name, group):
    pod = pods(name)[group]
    sizes = [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume]
    limit = pod["containers"][0]["resources"]["limits"]["memory"]
    assert all(size.endswith("Gi") for size in (*sizes, limit))
    assert sum(int(size[:-2]) for size in sizes) <= int(limit[:-2]) / 2


@pytest.mark.parametrize(("name", "group"), CASES)
def test_ports_have_names_that_kubernetes_takes(name, group):
    """At most 15 letters, and each once: what KubeRay looks for it finds by name."""
    ports = pods(name)[group]["containers"][0]["ports"]
    names = [port["name"] for port in ports]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", one) for one in names)
    needed = {"serve", "metrics"} | ({"gcs-server", "dashboard"} if group == "head" else set())
    assert needed <= set(names)


@pytest.mark.parametrize("name", MANIFESTS)
def test_custom_resources_are_what_ray_start_reads(name):
    """KubeRay pastes them into a shell command: what the shell leaves must be JSON."""
    spec = ray_spec(name)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (word,) = shlex.split(group["rayStartParams"]["resources"])
        resources = json.loads(word)
        assert resources
        assert all(isinstance(amount, int) and amount > 0 for amount in resources.values())


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_asks_for_a_token_that_is_in_no_file(name):
    """With secretName KubeRay sets both variables on every Ray container, from this secret."""
    options = ray_spec(name)["authOptions"]
    assert options == {"mode": "token", "secretName": SECRET["name"]}
    assert "Secret" not in [one["kind"] for one in documents(name)]
    assert f"secret generic {SECRET['name']} --from-literal={SECRET['key']}=" in text(name)


def test_the_job_has_the_same_token():
    (container,) = job_pod()["containers"]
    env = {one["name"]: one for one in container["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    assert env["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": SECRET}
    assert "value" not in env["RAY_AUTH_TOKEN"]


def test_the_job_hands_the_command_to_the_head():
    (container,) = job_pod()["containers"]
    assert container["command"][:3] == ["ray", "job", "submit"]
    assert container["command"][-1] == "--"
    cluster = document("kuberay/raycluster.yaml", "RayCluster")["metadata"]["name"]
    dashboard = {port["name"]: port for port in head_ports()}["dashboard"]["containerPort"]
    assert f"http://{cluster}-head-svc:{dashboard}" in container["command"]


def head_ports():
    return pods("kuberay/raycluster.yaml")["head"]["containers"][0]["ports"]


def test_the_jobs_command_is_one_that_there_is():
    """With its options, and with the scenario where it is mounted."""
    words = job_pod()["containers"][0]["args"]
    commands = getattr(typer.main.get_command(app), "commands", {})
    assert words[0] == "perfuse"
    assert words[1] in commands
    known = [option for param in commands[words[1]].params for option in param.opts]
    assert [word for word in words if word.startswith("--") and word not in known] == []
    assert words[2] == "/etc/perfuse/demo.yaml"


def test_the_service_serves_an_application_that_there_is():
    config = yaml.safe_load(document(MANIFESTS[1], "RayService")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    module, name = application["import_path"].split(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert application["args"] == {"scenario": "/etc/perfuse/demo.yaml"}
    ports = {port["name"]: port["containerPort"] for port in head_ports()}
    assert config["http_options"]["port"] == ports["serve"]
