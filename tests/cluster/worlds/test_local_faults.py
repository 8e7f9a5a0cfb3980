"""Faults of nodes that are processes: kill -9, SIGSTOP and SIGCONT, from a scenario's file. Its own
file: one Ray session a process at a time.
"""

import time
from pathlib import Path

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import SMALL
from workers.host.trace import Noted

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FAULTS = [
    {"type": "pause", "node": "decode-0", "start": "1 s", "duration": "1500 ms"},
    {"type": "pause", "node": "decode-0", "start": "1500 ms", "duration": "500 ms"},
    {
        "type": "crash", "node": "experts-0", "start": "1200 ms",
        "attributes": {"restart_after": "200 ms"},
    },
]  # fmt: skip
REAL = {**SMALL, "cluster.world": "local", "cluster.emulation": False, "faults": FAULTS}
PATIENCE_S = 60.0


def state(pid: int) -> str:
    """As the kernel tells it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def _runs(pid: int) -> bool:
    try:
        return state(pid) != "Z"
    except FileNotFoundError:
        return False


def told(world: LocalWorld) -> list[str]:
    return [r.detail for r in world.faults.trace.records if isinstance(r, Noted)]


def until(world: LocalWorld, detail: str) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while detail not in told(world):
        assert time.monotonic() < ends_s, f"{detail!r} never came: {told(world)}"
        time.sleep(0.01)


def test_processes_are_stopped_and_killed_and_all_serve_afterwards() -> None:
    """experts-0 dies while decode-0 stands still: its next incarnation meets decode-0 when that
    goes on, at 2.5 s, since the second pause is within the first.
    """
    with local_world(Blueprint.draw(load_scenario("demo", REAL))) as world:
        stopped, killed = world._pids["decode-0"], world._pids["experts-0"]
        for moment in ("fault-1: pause", "fault-1: resume"):  # the first one holds it all along
            until(world, moment)
            seen = state(stopped)
            assert seen == "T" or "fault-0: resume" in told(world)
        until(world, "fault-0: resume")
        until(world, "fault-2: restart")
        assert state(stopped) != "T" and world._pids["experts-0"] != killed
        assert not _runs(killed)
        assert told(world) == [
            "fault-0: pause",
            "fault-2: crash",
            "fault-1: pause",
            "fault-1: resume",
            "fault-0: resume",
            "fault-2: restart",
        ]
        knows = world.ask_all("knows")
        assert {living["experts-0"] for living in knows.values()} == {2}
        assert {living["decode-0"] for living in knows.values()} == {1}
