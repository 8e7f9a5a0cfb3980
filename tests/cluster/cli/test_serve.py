"""`perfuse serve` as its own process: it answers, and ends by signal with nothing left."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


ONE = ("--model", "perfuse-tiny")
# The local world ends by SIGTERM in `tests/cluster/worlds/test_ending.py`, with streams that run.
ENDED = [(("demo", "--no-emulation"), signal.SIGINT), (ONE, signal.SIGTERM), (ONE, signal.SIGINT)]


@pytest.mark.parametrize(("what", "number"), ENDED)
def test_a_signal_ends_it_cleanly(what: tuple[str, ...], number: signal.Signals) -> None:
    command = [sys.executable, "-m", "cluster.cli.main", "serve", *what, "--port", "0"]
    # A short path of its own: sockets live in it, and what is left behind shows.
    with tempfile.TemporaryDirectory(prefix="pf-") as folder:
        environment = {**psutil.Process().environ(), "TMPDIR": folder}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("serving"))
            url = next(word for word in line.split() if word.startswith("http")).rstrip(";")
            assert httpx.get(f"{url.removesuffix('/v1')}/health").status_code == 200
            started = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, err
        assert "draining" in out
        assert not psutil.wait_procs(started, timeout=20)[1], "processes were left behind"
        assert not list(Path(folder).glob("perfuse-*")), "files were left behind"


SLOW_START = """
import asyncio
from cluster.worlds import process, raising

async def slow(*arguments):
    await raising.raise_cluster(*arguments)
    print("all but there", flush=True)
    await asyncio.sleep(100)

process.raise_cluster = slow
from cluster.cli.main import app
app(["serve", "--model", "perfuse-tiny", "--port", "0"])
"""


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Python with these arguments, its output, and a folder of its own for temporary files."""
    with tempfile.TemporaryDirectory(prefix="pf-") as folder:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**psutil.Process().environ(), "TMPDIR": folder},
        )
        assert process.stdout is not None
        try:
            yield process, Path(folder)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_it_starts_leaves_no_file(number: signal.Signals, code: int) -> None:
    with started("-c", SLOW_START) as (process, folder):
        assert process.stdout is not None
        assert any("all but there" in line for line in iter(process.stdout.readline, ""))
        assert list(folder.glob("perfuse-*"))
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == code and "Traceback" not in rest, rest
        assert not list(folder.glob("perfuse-*"))


def test_a_signal_that_another_thread_gets_ends_a_start() -> None:
    """The system may hand it to any thread; Python handles it in the main one, if that wakes."""
    to_me = "signal.pthread_kill(threading.get_ident(), signal.SIGINT)"
    slept = "await asyncio.sleep(100)"
    code = SLOW_START.replace(slept, f"import signal, threading; {to_me}; {slept}")
    with started("-c", code) as (process, folder):
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 130 and "Traceback" not in rest, rest
        assert not list(folder.glob("perfuse-*"))


def test_a_second_signal_does_not_wait_for_running_streams() -> None:
    """An emulated token takes tenths of a second here, and there are hundreds to come."""
    model = ("--model", "perfuse-tiny", "--emulation", "--dilation", "2000", "--port", "0")
    body = {"model": "perfuse-tiny", "prompt": "x", "max_tokens": 900, "ignore_eos": True}
    with started("-m", "cluster.cli.main", "serve", *model) as (process, folder):
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        line = next(line for line in lines if "http://" in line)
        url = line[line.index("http://") :].split("/v1")[0]
        with httpx.stream(
            "POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=30
        ) as stream:
            next(stream.iter_lines())
            process.send_signal(signal.SIGTERM)
            assert any("draining" in line for line in lines)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 143
        assert not list(folder.glob("perfuse-*"))


def test_one_process_loads_neither_ray_nor_grpc_nor_torch() -> None:
    """And flags replace the scenario's keys."""
    code = (
        "import sys; sys.argv = ['perfuse', 'serve', '--model', 'perfuse-tiny', '--port', '0',"
        " '--max-model-len', '256', '--served-model-name', 'mine']\n"
        "from cluster.cli.main import app\n"
        "try: app()\n"
        "finally: print('loaded', sorted({'ray', 'grpc', 'torch'} & set(sys.modules)))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        line = next(line for line in lines if "http://" in line)
        url = line[line.index("http://") :].split("/v1")[0]
        model = httpx.get(f"{url}/v1/models").json()["data"][0]
        assert (model["id"], model["max_model_len"]) == ("mine", 256)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0, rest
        assert "loaded []" in rest
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
