"""How `perfuse serve` ends, in the local world and in one process: by signal or by need."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import process_world
from configs.schema import load_scenario
from workers.errors import PeerDead

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# A token takes some 30 us of emulated time: at these dilations, some 10 to 60 ms here.
FEW = ("--set", "cluster.nodes.experts.count=1", "--set", "cluster.nodes.decode.count=1")
LOCAL = ("demo", "--dilation", "1000", *FEW)
PROCESS = ("--model", "perfuse-tiny", "--emulation", "--dilation", "500")


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """Its process, its URL, and the folder of its temporary files."""
    command = [sys.executable, "-m", "cluster.cli.main", "serve", *arguments, "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="pf-") as folder, started(command, folder) as process:
        assert process.stdout is not None
        line = next(line for line in iter(process.stdout.readline, "") if "http://" in line)
        yield process, line[line.index("http://") :].split("/v1")[0], Path(folder)


@contextmanager
def started(command: list[str], folder: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**psutil.Process().environ(), "TMPDIR": folder}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        if process.poll() is None:  # a test has failed: nothing may stay
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
        process.kill()
        process.wait()
        process.stdout.close()


def stream(url: str) -> list[str]:
    """The lines of one stream, to its end."""
    body = {"model": "perfuse-tiny", "prompt": "For the", "max_tokens": 64, "ignore_eos": True}
    with httpx.stream(
        "POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=120
    ) as answer:
        assert answer.status_code == 200
        return [line for line in answer.iter_lines() if line]


@pytest.mark.parametrize("what", [LOCAL, PROCESS], ids=["local", "process"])
def test_sigterm_lets_16_streams_end_whole(what: tuple[str, ...]) -> None:
    """64 tokens each and [DONE], no error event; exit 0, and nothing is left."""
    with serving(*what) as (process, url, folder), ThreadPoolExecutor(16) as pool:
        begun = [pool.submit(stream, url) for _ in range(16)]
        while "perfuse:gateway_open_requests 16.0" not in httpx.get(f"{url}/metrics").text:
            assert not any(one.done() for one in begun), "they ended before the signal"
            time.sleep(0.05)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        answers = [one.result(60) for one in begun]
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 0 and "draining" in rest, rest
        assert not psutil.wait_procs(below, timeout=20)[1], "processes were left"
        assert not list(folder.glob("perfuse-*"))
    for lines in answers:
        assert lines[-1] == "data: [DONE]" and '"length"' in lines[-2]
        assert not any('"error"' in line for line in lines)


def test_serve_ends_with_an_error_when_its_gateway_is_killed() -> None:
    with serving(*LOCAL) as (process, url, folder):
        below = psutil.Process(process.pid).children(recursive=True)
        (gateway,) = [p for p in below if listens(p, int(url.rpartition(":")[2]))]
        gateway.kill()
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 2 and "error: gateway is gone" in rest, rest
        assert "Traceback" not in rest
        assert not list(folder.glob("perfuse-*"))
        assert not psutil.wait_procs(below, timeout=20)[1]


def listens(process: psutil.Process, port: int) -> bool:
    return any(
        c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections()
    )


@pytest.mark.parametrize("node", ["gateway", "router"])
def test_an_endpoint_without_gateway_or_router_is_told(node: str) -> None:
    """In one process; one node of it that is dead ends the endpoint, another one does not."""
    changes = {"cluster.world": "process", "cluster.emulation": False, "cluster.dilation": 1}
    with process_world(Blueprint.draw(load_scenario("demo", changes))) as world:
        world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        world.kill("prefill-0")
        world.check_serves()
        world.kill(node)
        with pytest.raises(PeerDead, match=f"{node} is gone"):
            world.check_serves()


@pytest.mark.parametrize(("step", "wait_s"), [("starting Ray", 1.0), ("loading workers", 0.0)])
def test_ctrl_c_ends_a_start_at_once_and_leaves_nothing(step: str, wait_s: float) -> None:
    """Within 10 s on a busy machine (Ray looks for signals once a second); exit 130."""
    with tempfile.TemporaryDirectory(prefix="pf-") as folder:
        command = [sys.executable, "-m", "cluster.cli.main", "serve", *LOCAL, "--port", "0"]
        with started(command, folder) as process:
            assert process.stdout is not None
            assert any(step in line for line in iter(process.stdout.readline, ""))
            time.sleep(wait_s)
            below = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=20)[0]
            assert process.returncode == 130 and "Traceback" not in rest, rest
            assert not psutil.wait_procs(below, timeout=5)[1], "processes were left"
            assert not list(Path(folder).glob("perfuse-*"))
