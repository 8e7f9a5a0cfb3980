"""The Serve application before a gateway, as far as it goes without a Ray cluster."""

import asyncio
import subprocess
import sys
import types

import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.machines import ingress


@pytest.fixture
def raised(monkeypatch) -> list[str]:
    """The scenarios that were raised, each with a gateway that is named after it."""
    names: list[str] = []

    def serve_in_cluster(scenario: str) -> str:
        names.append(scenario)
        return f"http://{scenario}:8000"

    module = types.ModuleType("cluster.worlds.machines.up")
    module.serve_in_cluster = serve_in_cluster  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return names


def test_the_cluster_is_raised_for_its_gateway(raised):
    assert asyncio.run(ingress.gateway("demo")) == "http://demo:8000"
    assert raised == ["demo"]


def test_as_many_requests_as_the_gateway_takes():
    assert GatewaySettings().max_inflight == ingress.MAX_ONGOING_REQUESTS


def test_arguments_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="args has world: all there is to say is `scenario`"):
        ingress.app({"world": "ray", "scenario": "demo"})


def test_it_is_imported_without_ray():
    """Serve's is an extra of Ray's, and Ray reads its settings when it is loaded."""
    code = "import sys, cluster.worlds.machines.ingress; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_it_is_a_serve_application():
    """In a process of its own: Ray is loaded as Serve loads it, which no test after it expects."""
    code = (
        "import sys\n"
        "try:\n"
        "    from ray import serve\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
        "    sys.exit(77)\n"
        "from cluster.worlds.machines import ingress\n"
        "app = ingress.app({'scenario': 'demo'})\n"
        "assert isinstance(app, serve.Application), app\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
