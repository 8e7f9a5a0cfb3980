"""Several hosts on this machine: network namespaces that hang on one switch, a cable each.

    host 0 ── cable ──╮
    host 1 ── cable ──┼── switch (a bridge in a namespace of its own)
    host 2 ── cable ──╯

All go with the processes that hold them. Processes, files and memory are those of the one machine.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from benchmarks.namespaces import namespaces_hindrance

NETWORK, PREFIX_BITS = "10.77.31", 24
_HOLD = "mount -t sysfs none /sys && ip link set lo up && echo ready && exec sleep infinity"
_SWITCH = (
    "ip link add switch type bridge && ip link set switch up && echo ready && exec sleep infinity"
)
_TRY = "mount -t sysfs none /sys && ip link add pfsw type bridge && ip link add pfto type veth"
DEVICE = "cable"


def hindrance() -> str:
    """What is missing here; "" if nothing."""
    return namespaces_hindrance(_TRY, "switch")


class Hosts:
    """Hosts by number. Use `hosts`."""

    def __init__(self, pids: list[int], switch: int, skews: Mapping[int, str]) -> None:
        self._pids, self._switch, self._skews = pids, switch, skews
        self.addresses = [f"{NETWORK}.{number + 1}" for number in range(len(pids))]

    def inside(self, number: int) -> tuple[str, ...]:
        """What a command begins with to run on a host, in this working directory."""
        place = ("nsenter", "-t", str(self._pids[number]), "-n", "-m")
        return (*place, "env", "-C", os.getcwd())

    def is_on(self, number: int, pid: int) -> bool:
        """Whether a process is on that host."""
        try:
            return os.readlink(f"/proc/{pid}/ns/net") == self._network(number)
        except FileNotFoundError:  # it has ended
            return False

    def _network(self, number: int) -> str:
        return os.readlink(f"/proc/{self._pids[number]}/ns/net")

    def environment(self, number: int) -> dict[str, str]:
        """Of a host's processes; one may have a clock of its own."""
        skew = self._skews.get(number)
        return {} if skew is None else {"PERFUSE_CLOCK_SKEW": skew}

    def cut_off(self, number: int) -> None:
        """Its cable is pulled: nothing arrives, and nobody is told."""
        self._port(number, "down")

    def plug_in(self, number: int) -> None:
        self._port(number, "up")

    def _port(self, number: int, state: str) -> None:
        _in(self._switch, "ip", "link", "set", f"port{number}", state)


@contextmanager
def hosts(count: int, skews: Mapping[int, str] | None = None) -> Iterator[Hosts]:
    """So many hosts. skews: number -> PERFUSE_CLOCK_SKEW of that host's processes."""
    with ExitStack() as stack:
        switch = stack.enter_context(_held(_SWITCH, "-n"))
        pids = [stack.enter_context(_held(_HOLD, "-m", "-n")) for _ in range(count)]
        for number, pid in enumerate(pids):
            port, address = f"port{number}", f"{NETWORK}.{number + 1}/{PREFIX_BITS}"
            _in(switch, "ip", "link", "add", port, "type", "veth", "peer", "name", DEVICE)
            _in(switch, "ip", "link", "set", DEVICE, "netns", str(pid))
            _in(switch, "ip", "link", "set", port, "master", "switch")
            _in(switch, "ip", "link", "set", port, "up")
            _in(pid, "ip", "addr", "add", address, "dev", DEVICE)
            _in(pid, "ip", "link", "set", DEVICE, "up")
        yield Hosts(pids, switch, skews or {})


@contextmanager
def _held(command: str, *namespaces: str) -> Iterator[int]:
    """The process that holds namespaces of its own."""
    with subprocess.Popen(
        ("unshare", *namespaces, "sh", "-c", command), stdout=subprocess.PIPE, text=True
    ) as held:
        try:
            assert held.stdout is not None
            if held.stdout.readline() != "ready\n":
                raise OSError(f"no namespaces can be made here: {command}")
            yield held.pid
        finally:
            held.kill()


def _in(pid: int, *command: str) -> None:
    subprocess.run(("nsenter", "-t", str(pid), "-n", *command), check=True, capture_output=True)
