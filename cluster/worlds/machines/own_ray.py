"""A Ray cluster that is started here, and outlives the command that started it.

$XDG_STATE_HOME/perfuse/ray.json    where it is, and its secret
$XDG_STATE_HOME/perfuse/ray.lock    held while one is looked for, started or ended
$XDG_STATE_HOME/perfuse/ray.used    shared by all who have joined it
"""

import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import psutil

from cluster.own_packages import ROOT
from cluster.worlds.folder import PREFIX, clear_folder, own, place
from cluster.worlds.ray_settings import ON_LOOPBACK, ONE_THREAD, QUIET, SETTINGS_VARIABLES
from configs.schema.wires import LOOPBACK

CONNECT_S, START_S = 5.0, 120
MODE, TOKEN, ADDRESS = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"
# One that is started here is for this machine alone.
HERE = {**QUIET, **ON_LOOPBACK, **SETTINGS_VARIABLES, **ONE_THREAD}
OBJECT_STORE_BYTES = 100 << 20


@dataclass(frozen=True, slots=True)
class OwnRay:
    """A Ray cluster that was started here: its address and secret, the folder of its files, its
    first process, and the machine on which that id means it.
    """

    address: str
    token: str
    folder: str
    pid: int
    place: str


def state_file() -> Path:
    """Where a Ray cluster that was started here is remembered."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "perfuse" / "ray.json"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of two commands that would start a Ray here at once the second finds the first one's. Raises
    ValueError where nothing can be remembered.
    """
    with _opened("lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # goes with the process, whatever ends it
        yield


class Use:
    """That this process uses the Ray that was started here; it ends with the process at the latest.
    Nobody ends one that somebody else uses.
    """

    def __init__(self) -> None:
        self._held = _opened("used")
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def end(self) -> bool:
        """Whether nobody else uses it."""
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            self._held.close()
        return True


def _opened(suffix: str) -> TextIO:
    path = state_file().with_suffix(f".{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path.open("a")
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}: a Ray that is started here is remembered beside it: set "
            "XDG_STATE_HOME to a folder that can be written, or give --address"
        ) from error


def own_ray() -> OwnRay | None:
    """The one that was started on this machine, if it still runs; what is left of one that does not
    goes. Raises ValueError where its first process lives and does not answer.
    """
    try:
        found = OwnRay(**json.loads(state_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    if found.place != place():
        return None  # of another machine, which has the same home
    if not psutil.pid_exists(found.pid) or not Path(found.folder).is_dir():
        clear(found)
        return None
    host, _, port = found.address.rpartition(":")
    if why_unreached(host, int(port)):
        raise ValueError(
            f"the Ray cluster that was started here does not answer at {found.address}: end its "
            f"process {found.pid}, or give --address"
        )
    return found


def remember(started: OwnRay) -> None:
    """So that other commands of this user find it, and nobody else can read its secret."""
    path = state_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(asdict(started)))


def start_here() -> OwnRay:
    """A Ray cluster on this machine's loopback, which goes on when this process ends.

    Raises ValueError with what `ray start` said; what had started by then is ended.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        return _started(folder)
    except BaseException as error:
        clear_folder(folder)
        if isinstance(error, subprocess.TimeoutExpired):
            raise ValueError(f"Ray did not start here within {START_S} s") from error
        raise


def _started(folder: Path) -> OwnRay:
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
        raise ValueError(f"Ray did not start here: {said}")
    own(folder, pid)
    started = OwnRay(f"{LOOPBACK}:{port}", token, str(folder), pid, place())
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


def clear(own_one: OwnRay) -> None:
    """End its processes; it is forgotten, and its files go."""
    clear_folder(Path(own_one.folder))
    state_file().unlink(missing_ok=True)


def why_unreached(host: str, port: int, timeout_s: float = CONNECT_S) -> OSError | None:
    """What keeps a connection from being made there; None: nothing does."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        return error
    return None
