"""Names in shared memory, which all processes of a machine have in common: whoever looks there for
what it left itself must pass over what others have, who run beside it.
"""

import os
import time
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")
PREFIXES = ("ucx_", "perfuse")
# UCX's names are there for a moment; whoever has one longer has mapped it.
MOMENT_S = 1.0


def names() -> set[str]:
    """Those that are ours or UCX's."""
    return {name for name in os.listdir(SHARED_MEMORY) if name.startswith(PREFIXES)}


def left_behind(before: set[str], of: int | None = None) -> list[str]:
    """Names that are new, that stay, and that no other living process has: a crash leaves these.

    of    of clusters' folders only those of this process; None: of all that are dead
    """
    ends_s = time.monotonic() + MOMENT_S
    new = names() - before
    while new and time.monotonic() < ends_s:
        time.sleep(0.01)
        new &= names()
    return sorted(name for name in new if not _is_another_s(SHARED_MEMORY / name, of))


def _is_another_s(path: Path, of: int | None) -> bool:
    if path.is_dir():  # a cluster's folder says whose it is
        try:
            owner = int((path / "owner").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return False
        if of is not None:
            return owner != of
        return owner != os.getpid() and psutil.pid_exists(owner)
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        try:
            if any(str(path) == mapped.path for mapped in process.memory_maps()):
                return True
        except psutil.Error:  # it is gone, or none of ours
            continue
    return not path.exists()
