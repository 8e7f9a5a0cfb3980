"""Faults of nodes of a cluster on a Ray cluster: real signals on the node's own host."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.worlds.session_processes import processes_of_session, ray_processes
from tests.cluster.worlds.machines.free import FREE
from tests.cluster.worlds.machines.test_here import here as here
from tests.cluster.worlds.machines.test_here import perfuse

PATIENCE_S = 150.0
FAULTS = """
base: demo
cluster: {emulation: false, dilation: 1}
faults:
  - {type: pause, node: decode-0, start: 1 s, duration: 4 s}
  - {type: crash, node: decode-1, start: 2 s}
"""


def stopped(folder: Path) -> Iterator[psutil.Process]:
    """Processes of the session that stand still."""
    for process in processes_of_session(folder, ray_processes()).values():
        try:
            if process.status() == psutil.STATUS_STOPPED:
                yield process
        except psutil.NoSuchProcess:
            continue


@pytest.mark.live
@pytest.mark.timeout(400)
def test_a_node_stands_still_and_another_is_killed_and_comes_back(
    here: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(FAULTS, encoding="utf-8")
    folder = Path(here["TMPDIR"])
    command = [sys.executable, "-m", "cluster.cli.main", "up", str(file), *FREE]
    up = subprocess.Popen(command, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        ends_s, seen = time.monotonic() + PATIENCE_S, list[psutil.Process]()
        while not seen and time.monotonic() < ends_s:
            seen = list(stopped(folder))
            time.sleep(0.05)
        told, _ = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 0, told.decode()
        assert len(seen) == 1 and any("ray::" in word for word in seen[0].cmdline())
        told_now = ""
        while "restarted 1 times" not in told_now:
            assert time.monotonic() < ends_s + PATIENCE_S, told_now
            told_now = perfuse({**here, "COLUMNS": "240"}, "status").stdout
        line = next(row for row in told_now.splitlines() if "restarted 1 times" in row)
        assert "decode-1" in line
        assert not list(stopped(folder)), "whoever stood still goes on"
    finally:
        done = perfuse(here, "down")
    assert done.returncode == 0, done.stdout + done.stderr
