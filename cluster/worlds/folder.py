"""A cluster's own temporary folder, and what becomes of one whose owner was killed.

    perfuse-XXXXXXXX/owner    the process whose cluster it is: id, start, boot, PID namespace

A second one, of the same kind, is in shared memory where a wire needs names there: what a process
that is killed leaves in it goes with it.

An owner that is killed (kill -9) takes nothing down. The next start does, where it can prove that
the owner is dead: what it left of processes, then the folder. What it cannot prove it leaves alone.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.worlds.session_processes import (
    end_processes,
    processes_of_session,
    ray_processes,
)

PREFIX, OWNER = "perfuse-", "owner"
# Field of /proc/PID/stat behind the command's closing bracket: ticks from boot to start.
START_FIELD = 19
SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def own_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, which goes at the end whatever happens; what the dead left goes first, there
    and in shared memory. None: among temporary files.
    """
    for shared in (Path(tempfile.gettempdir()), SHARED_MEMORY):
        clear_after_the_dead(shared)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        own(folder, os.getpid())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own(folder: Path, pid: int) -> None:
    """From now on it is that process's: when it is dead the folder goes, and what is left of it."""
    (folder / OWNER).write_text(_identity(pid))


def clear_after_the_dead(parent: Path) -> None:
    """End the processes and remove the folders of clusters below `parent` that were this user's,
    and whose owner is gone for certain.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        if _is_ours(folder) and _is_dead(folder / OWNER):
            clear_folder(folder)


def clear_folder(folder: Path) -> None:
    """End what is left of the Ray session in it, then remove it."""
    end_processes(processes_of_session(folder, ray_processes()).values())
    shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    with suppress(FileNotFoundError):  # somebody else cleared it meanwhile
        status = folder.lstat()
        return folder.is_dir() and not folder.is_symlink() and status.st_uid == os.getuid()
    return False


def _is_dead(owner: Path) -> bool:
    """Whether a process of this boot and of this PID namespace owned it that is no more."""
    try:
        told = owner.read_text()
        pid = int(told.split()[0])
    except (OSError, ValueError, IndexError):
        return False
    if told.split()[2:] != place().split():
        return False  # another machine's, or another container's: its ids say nothing here
    try:
        return _identity(pid) != told
    except FileNotFoundError:
        return True


def _identity(pid: int) -> str:
    """An id may be used again, but not with the same start. Raises FileNotFoundError if it is no
    process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except ProcessLookupError:
        raise FileNotFoundError(f"process {pid} is gone") from None
    if fields[0] in "ZX":
        raise FileNotFoundError(f"process {pid} has ended")
    return " ".join((str(pid), fields[START_FIELD], place()))


def place() -> str:
    """Where process ids mean what they mean here."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
