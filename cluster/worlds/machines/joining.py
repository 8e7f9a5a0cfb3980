"""Joining a Ray cluster that runs, or one that is started here and outlives the command.

Ray reads its settings when it is loaded: whoever joins calls `join` before anything imports ray, so
this file imports it late.

    $XDG_STATE_HOME/perfuse/ray.json    where one is that was started here, and its secret
"""

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from cluster.own_packages import ROOT
from cluster.worlds.folder import PREFIX, own
from cluster.worlds.machines.names import NAMESPACE
from cluster.worlds.session_processes import (
    end_processes,
    processes_of_session,
    ray_processes,
)
from configs.schema.wires import LOOPBACK

CONNECT_S, START_S = 5.0, 120
MODE, TOKEN, ADDRESS = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"
# One that is started here is for this machine alone, and quiet; see `ray_session`.
HERE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_failure_threshold": "100",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
OBJECT_STORE_BYTES = 100 << 20


@dataclass(frozen=True, slots=True)
class OwnRay:
    """A Ray cluster that was started here: its address and secret, the folder of its files, and its
    first process.
    """

    address: str
    token: str
    folder: str
    pid: int


def state_file() -> Path:
    """Where a Ray cluster that was started here is remembered."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "perfuse" / "ray.json"


def own_ray() -> OwnRay | None:
    """The one that was started here, if it still runs; what is left of one that does not goes."""
    try:
        found = OwnRay(**json.loads(state_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    if psutil.pid_exists(found.pid) and Path(found.folder).is_dir() and _listens(found.address):
        return found
    _clear(found)
    return None


def remember(started: OwnRay) -> None:
    """So that other commands of this user find it, and nobody else can read its secret."""
    path = state_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(asdict(started)))


def join(address: str | None, *, starts: bool = False) -> None:
    """Become a driver of the Ray cluster at `address`, or where RAY_ADDRESS says, or of the one
    that was started here, which is started if there is none and `starts`.

    Raises ValueError with what is wrong at that address and what would be right.
    """
    is_late = "ray" in sys.modules
    address = address or os.environ.get(ADDRESS) or None
    if address is None:
        own_one = own_ray() or (start_here() if starts else None)
        if own_one is None:
            raise ValueError(
                "no Ray cluster is known: give --address HOST:PORT, set RAY_ADDRESS, or let "
                "`perfuse up` start one here"
            )
        assert not is_late, "Ray has read its settings already, and would look elsewhere"
        os.environ.update(HERE)
        os.environ[MODE], os.environ[TOKEN] = "token", own_one.token
        address = own_one.address
    else:
        _check_listens(address)
    _init(address)


def _check_listens(address: str) -> None:
    """Ray itself waits long for nobody."""
    plain = address.removeprefix("ray://")
    if plain == "auto":
        return
    host, sign, port = plain.rpartition(":")
    if not sign or not port.isdigit():
        raise ValueError(f"--address {address}: must be HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise ValueError(
            f"--address {address}: no Ray listens there ({error}): `ray start --head` prints the "
            "address of a cluster that it starts"
        ) from error


def _init(address: str) -> None:
    import ray

    from cluster.worlds.job import job_of_ours

    # Ray's client, which a machine outside uses, has a job of its own.
    handler = signal.getsignal(signal.SIGTERM)
    options: dict[str, Any] = {} if address.startswith("ray://") else {"job_config": job_of_ours()}
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            logging_level=logging.ERROR,
            log_to_driver=False,
            configure_logging=False,
            **options,
        )
    except Exception as error:  # Ray raises whatever its parts raise
        raise ValueError(f"--address {address}: {_explained(error)}") from error
    finally:  # Ray's own ends the process where it stands
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _explained(error: Exception) -> str:
    said = str(error).strip()
    if "ersion mismatch" in said:
        return f"{said}: install the same version of Ray and of Python on all machines"
    if "uthenticat" in said or "UNAUTHENTICATED" in said or "token" in said.lower():
        return (
            f"Ray there wants a token, and this one it does not know: {said}: set {MODE}=token and "
            f"{TOKEN} to the one with which it was started"
        )
    return f"Ray could not be joined: {type(error).__name__}: {said}"


def start_here() -> OwnRay:
    """A Ray cluster on this machine's loopback, which goes on when this process ends.

    Raises RuntimeError with what `ray start` said.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    token = secrets.token_hex(32)
    environment = {**os.environ, **HERE, MODE: "token", TOKEN: token}
    environment.pop(ADDRESS, None)
    port = _free_port()
    command = [
        sys.executable, "-c", "from ray.scripts.scripts import main; main()",
        "start", "--head", f"--node-ip-address={LOOPBACK}", f"--port={port}",
        f"--temp-dir={folder}", "--include-dashboard=false", "--disable-usage-stats",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
    ]  # fmt: skip
    # In a session of its own: what ends this command's processes must not end Ray's.
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=START_S,
        start_new_session=True,
    )  # fmt: skip
    pid = _gcs_of(folder)
    if done.returncode or pid is None:
        said = (done.stderr or done.stdout).strip()[-800:]
        raise RuntimeError(f"Ray did not start here: {said}")
    own(folder, pid)
    started = OwnRay(f"{LOOPBACK}:{port}", token, str(folder), pid)
    remember(started)
    return started


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as door:
        return int(door.getsockname()[1])


def _gcs_of(folder: Path) -> int | None:
    """The process without which a Ray cluster is none."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if words and words[0].endswith("gcs_server") and any(str(folder) in w for w in words):
            return process.pid
    return None


def end_own_ray() -> bool:
    """End the Ray cluster that was started here, if there is one: its processes, then its files."""
    import ray

    found = own_ray()
    if found is None:
        return False
    ray.shutdown()
    _clear(found)
    return True


def _clear(own_one: OwnRay) -> None:
    folder = Path(own_one.folder)
    end_processes(processes_of_session(folder, ray_processes()).values())
    shutil.rmtree(folder, ignore_errors=True)
    state_file().unlink(missing_ok=True)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError:
        return False
    return True
