"""Which processes belong to a Ray session: they name its folder, or have a file open there."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

# How long processes that were killed may take to be gone.
END_S = 10


def processes_of_session(
    folder: Path, among: Iterable[psutil.Process]
) -> dict[int, psutil.Process]:
    """Those of `among` that belong to the session in a folder, with all their descendants. Some
    of Ray's overwrite their arguments by a title, but not the logs that they have open.
    """
    found: dict[int, psutil.Process] = {}
    for process in among:
        try:
            if _belongs(folder, process):
                for member in (process, *process.children(recursive=True)):
                    found[member.pid] = member
        except psutil.Error:  # it ended meanwhile, or is somebody else's
            continue
    return found


def _belongs(folder: Path, process: psutil.Process) -> bool:
    below = f"{folder}/"
    if any(below in argument for argument in process.cmdline()):
        return True
    return any(file.path.startswith(below) for file in process.open_files())


def ray_processes() -> Iterator[psutil.Process]:
    """Ray's of this user, whoever started them. This process is none, wherever its path leads."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.uids().real == os.getuid() and process.pid != os.getpid()
            if is_ours and any(_is_ray_s(word) for word in process.cmdline()):
                yield process


def _is_ray_s(word: str) -> bool:
    """A program or a module of Ray's, or the title that a worker of its has: ray::NAME."""
    return word.startswith(("ray::", "ray.")) or "-packages/ray/" in word


def end_processes(processes: Iterable[psutil.Process]) -> None:
    """Kill them, and wait until they are gone."""
    ended = list(processes)
    for process in ended:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(ended, timeout=END_S)
