"""Processes that are killed leave no shared memory: not after the cluster's stop, nor, where its
driver was killed too, after the next start; and no process and no file then.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.folder import OWNER, SHARED_MEMORY
from cluster.worlds.local import local_world
from configs.schema import load_scenario
from tests.cluster.worlds.test_ending import started
from tests.workers.wire.transport.wires import NEEDS_SHM, NEEDS_UCX

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FEW = {"cluster.nodes.experts.count": 1, "cluster.nodes.decode.count": 1}
REAL = {"cluster.world": "local", "cluster.emulation": False, "cluster.dilation": 1}
SHARED: tuple[Any, ...] = (
    pytest.param("ucx", marks=NEEDS_UCX),
    pytest.param("shm", marks=NEEDS_SHM),
)
# What a kill leaves of a segment that UCX is just making: it has its name until it is mapped.
SEGMENT = "ucx_shm_posix_12345678"


def of_system_v(pids: set[int]) -> list[str]:
    """Segments of System V's that one of these processes made: they have no owner to end with."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    maker = rows[0].split().index("cpid")
    return [row for row in rows[1:] if int(row.split()[maker]) in pids]


def named_by(pids: set[int]) -> list[str]:
    """Names in shared memory that processes have open or mapped: none is left once it is made."""
    paths = [mapped.path for pid in pids for mapped in psutil.Process(pid).memory_maps()]
    return [path for path in paths if path.startswith(f"{SHARED_MEMORY}/") and Path(path).exists()]


@pytest.mark.parametrize("transport", SHARED)
def test_nodes_that_are_killed_leave_nothing_after_the_stop(transport: str) -> None:
    """In the middle of work, and in the middle of making a segment."""
    chosen = {**REAL, "cluster.transport": transport, **FEW}
    drawn = Blueprint.draw(load_scenario("demo", chosen))
    with local_world(drawn) as world:
        pids = set(world.ask_all("pid").values())
        begun = world.begin(world.gateway, "run", build_workload(drawn.scenario, drawn.model.vocab))
        while not world.ask_gateway("progress", 0):
            assert not world.is_answered(begun, 0.1)
        assert not named_by(pids)
        for node in ("decode-0", "experts-0", "hbf-0"):
            world.kill(node)
        segments = world.segments
        assert (segments is not None) == (transport == "ucx")
        if segments is not None:
            assert segments.stat().st_mode & 0o777 == 0o700
            assert [path.name for path in segments.iterdir()] == [OWNER]
            (segments / SEGMENT).write_bytes(bytes(4096))
    assert segments is None or not segments.exists()
    assert not of_system_v(pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("transport", SHARED)
def test_a_driver_that_is_killed_leaves_nothing_after_the_next_start(transport: str) -> None:
    """Of any cluster: this one has no process of its own."""
    options = [f"cluster.transport={transport}", *(f"{key}={value}" for key, value in FEW.items())]
    words = [word for option in options for word in ("--set", option)]
    command = [sys.executable, "-m", "cluster.cli.main", "serve", "demo", "--world", "local"]
    command += ["--no-emulation", *words, "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="pf-") as folder, started(command, folder) as process:
        assert process.stdout is not None
        next(line for line in iter(process.stdout.readline, "") if "http://" in line)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list(Path(folder).glob("perfuse-*"))
        left = owned_by(process.pid)
        assert len(left) == (transport == "ucx")
        for segments in left:
            (segments / SEGMENT).write_bytes(bytes(4096))
        code = "from cluster.worlds.folder import own_folder\nwith own_folder(): pass"
        environment = {**os.environ, "TMPDIR": folder}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        assert not list(Path(folder).glob("perfuse-*"))
        assert not owned_by(process.pid)
        assert not of_system_v({one.pid for one in below})
        assert not psutil.wait_procs(below, timeout=20)[1], "processes were left"


def owned_by(pid: int) -> list[Path]:
    """Folders in shared memory that a process says are its own."""
    owners = SHARED_MEMORY.glob(f"perfuse-*/{OWNER}")
    return [owner.parent for owner in owners if owner.read_text().split()[0] == str(pid)]
