"""How long a cluster takes to stand on three hosts, and what it leaves when it is taken down.

Expected before the first run: the local cluster stands within 10 s, most of which are eleven
processes that import and load; on three hosts of the same two cores a probe, certificates and three
more processes come on top: 15 to 20 s. Going down takes what a Ray call and a flush take: 2 to 4 s.
"""

import sys
import time
from pathlib import Path

import psutil

from benchmarks.ray.ray_hosts import RayHosts
from benchmarks.rows import Row
from cluster.worlds.folder import OWNER, PREFIX, SHARED_MEMORY

UP_BAR_S = 60.0
_LEFT = (
    "import json, sys\n"
    "from cluster.worlds.machines.joining import join\n"
    "join(sys.argv[1])\n"
    "from cluster.worlds.machines.standing import actors, groups\n"
    "print(json.dumps([*actors(), *groups().values()]))"
)


def run(ray: RayHosts) -> list[Row]:
    before = owned()
    begun_s = time.monotonic()
    done = ray.perfuse("up", "demo", timeout_s=300)
    up_s = time.monotonic() - begun_s
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    with ray.attached("demo") as asked:
        pids = set(asked.ask("pids").values())
    folders = owned() - before
    begun_s = time.monotonic()
    done = ray.perfuse("down", "demo", timeout_s=200)
    down_s = time.monotonic() - begun_s
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    processes = [pid for pid in pids if psutil.pid_exists(pid)]
    known = ray.run(0, (sys.executable, "-c", _LEFT, ray.address)).stdout.strip()
    left = [*processes, *(owned() & folders), *([known] if known != "[]" else [])]
    return [
        Row("`perfuse up` to ready, three hosts of one machine", round(up_s, 1), "s",
            f"<= {UP_BAR_S:.0f} s", up_s <= UP_BAR_S, "measured: once, eleven processes"),
        Row("what `perfuse down` leaves of them", len(left), "",
            "0", not left, f"measured: processes, actors, placement groups, {len(folders)} "
            f"folders, also in shared memory; it took {down_s:.1f} s"),
    ]  # fmt: skip


def owned() -> set[str]:
    """Folders of clusters on this machine."""
    places = (Path("/tmp"), SHARED_MEMORY)
    return {str(owner.parent) for place in places for owner in place.glob(f"{PREFIX}*/{OWNER}")}
