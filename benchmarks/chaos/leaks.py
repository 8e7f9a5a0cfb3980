"""What a cluster's processes hold, and what is left of one that has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.worlds.folder import PREFIX, SHARED_MEMORY
from cluster.worlds.local import LocalWorld


@dataclass(frozen=True)
class Held:
    """memory_bytes, files   of each node's process that lives, by node and process id, so that
    incarnations are told apart
    """

    at_s: float
    memory_bytes: Mapping[tuple[str, int], int]
    files: Mapping[tuple[str, int], int]


def held(world: LocalWorld, at_s: float) -> Held:
    """Of all nodes now."""
    memory, files = {}, {}
    for node, pid in world.ask_all("pid").items():
        process = psutil.Process(pid)
        memory[node, pid] = process.memory_info().rss
        files[node, pid] = process.num_fds()
    return Held(at_s, memory, files)


def growth(first: Mapping[tuple[str, int], int], last: Mapping[tuple[str, int], int]) -> float:
    """The most that an incarnation which is in both has grown, as a factor; 1.0 where none is."""
    factors = [last[key] / first[key] for key in first if key in last and first[key]]
    return max(factors, default=1.0)


def shared_files() -> set[str]:
    """Names in shared memory that are ours."""
    return {path.name for path in SHARED_MEMORY.glob(f"{PREFIX}*")}


def children() -> set[int]:
    """Processes below this one."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def left_over(folder: Path, shared_before: set[str], children_before: set[int]) -> list[str]:
    """What a cluster that has ended left: its folder, names in shared memory, processes."""
    found = [str(folder)] if folder.exists() else []
    found += sorted(shared_files() - shared_before)
    return found + [f"process {pid}" for pid in sorted(children() - children_before)]
