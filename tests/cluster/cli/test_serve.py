"""`perfuse serve` as its own process: it answers, and ends by signal with nothing left."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", [("demo", "--no-emulation"), ("--model", "perfuse-tiny")])
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
