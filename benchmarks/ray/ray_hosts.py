"""A Ray cluster over several hosts of this machine, and `perfuse` on one of them."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.ray.hosts import Hosts, hosts
from cluster.worlds.ray_settings import ONE_THREAD, QUIET, SETTINGS_VARIABLES
from cluster.worlds.session_processes import (
    end_processes,
    processes_of_session,
    ray_processes,
)

ROOT = Path(__file__).resolve().parents[2]
PORT = 6379
START_S = 120
OBJECT_STORE_BYTES = 80 << 20
# A host that is cut off for some seconds is not given up by Ray.
SETTINGS = {**QUIET, **SETTINGS_VARIABLES, **ONE_THREAD, "RAY_AUTH_MODE": "token"}


class Asked:
    """A driver that was started; see `inside`. Its process may be killed at any time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._line()

    def ask(self, question: str, *arguments: Any) -> Any:
        """Raises RuntimeError with what went wrong there."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([question, arguments]) + "\n")
        self.process.stdin.flush()
        told = self._line()
        if "error" in told:
            raise RuntimeError(told["error"])
        return told["answer"]

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the driver has ended: see above")
        return json.loads(line)


class RayHosts:
    """Use `ray_hosts`.

    address   of the Ray cluster: on host 0, where commands run
    """

    def __init__(
        self, machine: Hosts, folder: Path, token: str, settings: Mapping[str, str]
    ) -> None:
        self.hosts, self.folder = machine, folder
        self.address = f"{machine.addresses[0]}:{PORT}"
        # Of another Ray, which this process may have started or used, nothing holds there.
        plain = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self._environment = {**plain, **SETTINGS, "RAY_AUTH_TOKEN": token, **settings}

    def run(
        self, number: int, command: Sequence[str], timeout_s: float = START_S
    ) -> "subprocess.CompletedProcess[str]":
        """A command on a host, until it ends."""
        return subprocess.run(
            (*self.hosts.inside(number), *command),
            env=self.environment(number),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def perfuse(
        self, *arguments: str, timeout_s: float = START_S
    ) -> "subprocess.CompletedProcess[str]":
        """`perfuse ARGUMENTS --address ...` on host 0."""
        command = (sys.executable, "-m", "cluster.cli.main", *arguments)
        return self.run(0, (*command, "--address", self.address), timeout_s)

    @contextmanager
    def attached(self, name: str) -> Iterator["Asked"]:
        """A driver on host 0, attached to a cluster; it goes, and the cluster stays."""
        command = (sys.executable, "-m", "benchmarks.ray.inside", self.address, name)
        with subprocess.Popen(
            (*self.hosts.inside(0), *command),
            env=self.environment(0),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Asked(process)
            finally:
                process.kill()

    def environment(self, number: int) -> Mapping[str, str]:
        return {**self._environment, **self.hosts.environment(number), "COLUMNS": "160"}

    def start(self, number: int) -> None:
        """Ray on a host; host 0 has the head. Raises RuntimeError with what Ray said."""
        where = ("--head", f"--port={PORT}") if number == 0 else (f"--address={self.address}",)
        temp = (f"--temp-dir={self.folder}",) if number == 0 else ()
        done = self.run(
            number,
            (
                sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start",
                *where, *temp, f"--node-ip-address={self.hosts.addresses[number]}",
                "--disable-usage-stats", "--num-cpus=2", "--include-log-monitor=false",
                f"--object-store-memory={OBJECT_STORE_BYTES}",
                *(("--include-dashboard=false",) if number == 0 else ()),
            ),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"Ray did not start on host {number}: {done.stdout}{done.stderr}")

    def burn(self, number: int) -> None:
        """A host is gone for good: all of Ray's processes on it, at once."""
        found = processes_of_session(self.folder, ray_processes()).values()
        end_processes(one for one in found if self.hosts.is_on(number, one.pid))

    def end(self) -> None:
        """All of Ray's processes, on all hosts."""
        end_processes(processes_of_session(self.folder, ray_processes()).values())


@contextmanager
def ray_hosts(
    count: int, skews: Mapping[int, str] | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[RayHosts]:
    """Ray on so many hosts, with further settings of Ray's; goes whatever happens."""
    with hosts(count, skews) as machine, TemporaryDirectory(prefix="pfr") as folder:
        started = RayHosts(machine, Path(folder), secrets.token_hex(32), settings or {})
        try:
            for number in range(count):
                started.start(number)
            yield started
        finally:
            started.end()
