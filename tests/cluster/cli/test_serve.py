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
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    command = [
        sys.executable, "-m", "cluster.cli.main", "serve", "demo", "--no-emulation", "--port", "0",
    ]  # fmt: skip
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
