"""Which processes belong to a Ray session: their command lines name its folder."""

from collections.abc import Iterable
from pathlib import Path

import psutil


def processes_of_session(
    folder: Path, among: Iterable[psutil.Process]
) -> dict[int, psutil.Process]:
    """Those of `among` whose arguments name the session's folder, with all their descendants."""
    found: dict[int, psutil.Process] = {}
    for process in among:
        try:
            if any(str(folder) in argument for argument in process.cmdline()):
                for member in (process, *process.children(recursive=True)):
                    found[member.pid] = member
        except psutil.Error:  # it ended meanwhile, or is somebody else's
            continue
    return found
