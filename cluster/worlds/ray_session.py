"""A Ray session of our own: on loopback, small, quiet, and gone with its folder.

Ray reads its settings when it is loaded, so they are made here first; import `ray` from here and
from nowhere else in this folder.
"""

import gc
import logging
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Collection
from pathlib import Path

import psutil

from cluster.worlds.ray_settings import ON_LOOPBACK, ONE_THREAD, QUIET, SETTINGS
from cluster.worlds.session_processes import (
    end_processes,
    processes_of_session,
    ray_processes,
)

# Nobody else on this machine may talk to the session.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.update({**QUIET, **os.environ, **ON_LOOPBACK})  # what somebody set stays

import ray

from cluster.worlds.job import job_of_ours

__all__ = ["end_ray", "ray", "start_ray"]

# What a Ray session may take for objects; only questions and answers of the driver pass through it.
OBJECT_STORE_BYTES = 80 << 20

# Ray gives its processes 30 s to find each other. A machine that was held up for as long deserves
# another try; one on which two have failed needs its owner.
ATTEMPTS = 2

LOOPBACK = "127.0.0.1"

# How long Ray's processes may take to end by themselves, and what is shown of each log.
LEAVE_S = 3
LAST_LINES = 3


def start_ray(folder: Path) -> None:
    """Start Ray's processes; their files go into `folder`, which the caller removes after
    `end_ray`. SIGTERM stays the caller's: Ray's own handler ends the process where it stands.

    Raises RuntimeError, with the last words of Ray's logs, if Ray does not start in ATTEMPTS tries.
    What a try had started is ended then, and when a signal interrupts it.
    """
    os.environ.update(ONE_THREAD)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            # Short names: Ray puts sockets below, whose whole path may have 107 characters.
            place = folder / f"ray{attempt}"
            try:
                _start(place)
                return
            except BaseException as error:
                end_ray(place, leave_s=0)
                if not isinstance(error, Exception):
                    raise
                if attempt == ATTEMPTS:
                    words = _last_words(place)
                    raise RuntimeError(
                        f"Ray did not start in {attempt} attempts: {error}{words}"
                    ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _start(folder: Path) -> None:
    ray.init(
        address="local",
        _node_ip_address=LOOPBACK,
        _temp_dir=str(folder),
        num_cpus=os.cpu_count(),  # it also bounds how many processes start at once
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=True,
        configure_logging=False,
        job_config=job_of_ours(),
        _system_config=dict(SETTINGS),  # Ray adds its session's folder, for the next session too
    )
    address = ray.util.get_node_ip_address()
    if address != LOOPBACK:
        raise RuntimeError(
            f"Ray listens on {address}, not on {LOOPBACK} alone: it was imported before "
            "cluster.worlds could say so"
        )


def end_ray(folder: Path, leave_s: float = LEAVE_S) -> None:
    """End Ray, and whatever of its processes has not gone `leave_s` later: it forgets what it had
    started when it fails half-way, and its agents may outlive their parent.
    """
    started = _started_below(folder)
    handles = _handles(started, str(folder))
    ray.shutdown()
    left = psutil.wait_procs(started, timeout=leave_s)[1]
    orphans = processes_of_session(folder, ray_processes()).values()
    end_processes([*left, *_started_below(folder), *orphans])
    for handle in handles:
        handle.poll()


def _handles(of: Collection[psutil.Process], place: str) -> list["subprocess.Popen[bytes]"]:
    """Ray's own of its processes. It kills them without waiting, and a handle that has not seen the
    end of its process complains when it is let go. A start that failed half-way has forgotten where
    it has them, and they live on in its traceback: hence the search. One that has only just been
    forked is known by its command's words alone.
    """
    pids = {process.pid for process in of}
    every = [one for one in gc.get_objects() if issubclass(type(one), subprocess.Popen)]
    return [one for one in every if one.pid in pids or place in str(one.args)]


def _started_below(folder: Path) -> list[psutil.Process]:
    return list(processes_of_session(folder, psutil.Process().children()).values())


def _last_words(folder: Path) -> str:
    """The end of the logs that say why Ray gave up, on lines of their own; empty without logs."""
    words = ""
    for path in sorted(folder.glob("session_2*/logs/*")):
        if path.name in ("raylet.err", "raylet.out", "gcs_server.err", "gcs_server.out"):
            lines = path.read_text(errors="replace").splitlines()[-LAST_LINES:]
            words += "".join(f"\n{path.name}: {line}" for line in lines)
    return words
