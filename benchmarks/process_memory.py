"""Memory of a command and of everything that it started, from /proc.

A process belongs to it if it descends from it, or carries its mark in the environment: so also a
process that was orphaned or put into a session of its own is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from cluster.reports.footprint import pss_bytes

# Put into the environment of a command; its descendants inherit it.
MARK = "PERFUSE_MEASURED_COMMAND"


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """pss_bytes: resident memory, where what n processes share counts an nth in each."""

    pid: int
    command: str
    pss_bytes: int


def _belongs(process: psutil.Process, root: int, mark: str) -> bool:
    return (
        process.pid == root
        or any(parent.pid == root for parent in process.parents())
        or process.environ().get(MARK) == mark
    )


def processes_of(root: int, mark: str) -> Iterator[psutil.Process]:
    """All processes of the command whose first one is `root`."""
    for process in psutil.process_iter():
        try:
            if _belongs(process, root, mark):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


def memory_of(root: int, mark: str) -> list[ProcessMemory]:
    """What each process of the command holds now; one that just ended holds nothing."""
    found = []
    for process in processes_of(root, mark):
        try:
            command = " ".join(process.cmdline())
            found.append(ProcessMemory(process.pid, command, pss_bytes(process)))
        except psutil.Error:
            continue
    return found
