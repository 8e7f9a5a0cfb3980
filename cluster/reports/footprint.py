"""What a live cluster's processes weigh: proportional set size (PSS), so that shared pages count
once.
"""

from pathlib import Path

import psutil


def cluster_processes(driver_pid: int, session_folder: Path) -> list[psutil.Process]:
    """The driver, its descendants, and every process that names the Ray session's folder."""
    driver = psutil.Process(driver_pid)
    found = {process.pid: process for process in (driver, *driver.children(recursive=True))}
    for process in psutil.process_iter():
        try:
            named = any(str(session_folder) in part for part in process.cmdline())
            if named and process.pid not in found:
                for member in (process, *process.children(recursive=True)):
                    found[member.pid] = member
        except psutil.Error:
            continue
    return [found[pid] for pid in sorted(found)]


def pss_bytes(process: psutil.Process) -> int:
    """Resident memory, where what n processes share counts an nth in each. Raises psutil.Error."""
    return int(process.memory_full_info().pss)


def resident_bytes(driver_pid: int, session_folder: Path) -> int:
    """Sum of PSS over `cluster_processes`."""
    total = 0
    for process in cluster_processes(driver_pid, session_folder):
        try:
            total += pss_bytes(process)
        except psutil.Error:
            continue  # it ended meanwhile
    return total
