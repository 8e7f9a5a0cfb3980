"""What a live cluster's processes weigh: proportional set size (PSS), so that shared pages count
once.
"""

from pathlib import Path

import psutil

from cluster.worlds.session_processes import processes_of_session


def cluster_processes(driver_pid: int, session_folder: Path) -> list[psutil.Process]:
    """The driver, its descendants, and every process that names the Ray session's folder."""
    driver = psutil.Process(driver_pid)
    found = processes_of_session(session_folder, psutil.process_iter())
    found |= {process.pid: process for process in (driver, *driver.children(recursive=True))}
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
