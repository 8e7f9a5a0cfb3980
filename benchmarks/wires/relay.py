"""A network of two namespaces that is late by so much, independent of anything of ours: IP packets
cross two TUN devices through a relay that holds each for the delay that stands when it comes.

It stands in for `tc netem`, which not every kernel has. Needs root and /dev/net/tun.
"""

import ctypes
import errno
import fcntl
import os
import select
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import IO

ADDRESSES = ("10.77.0.1", "10.77.0.2")
PREFIX_BITS = 30
_CLONE_NEWNET = 0x40000000
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET_BYTES = 65_536
_NAME_BYTES = 16
# More wait in no experiment here: what comes then is lost, as on a full queue of a router.
_PACKETS_MAX = 100_000


def hindrance() -> str:
    """What is missing here; "" if nothing."""
    if os.geteuid():
        return "needs root, for network namespaces"
    return "" if Path("/dev/net/tun").exists() else "needs /dev/net/tun"


def enter_namespace() -> None:
    """This thread, and those it starts, have a network of their own from now on. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace can be made")


@dataclass(frozen=True, slots=True)
class Relay:
    """What stands between both; `become` says how late each packet that comes from now on is."""

    told: IO[bytes]

    def become(self, delay_ns: int) -> None:
        self.told.write(b"%d\n" % delay_ns)
        self.told.flush()


def _tun(name: str) -> int:
    """A device that lives as long as its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TUN | _IFF_NO_PI
    fcntl.ioctl(device, _TUNSETIFF, struct.pack(f"{_NAME_BYTES}sH22x", name.encode(), flags))
    return device


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)


@contextmanager
def joined(pids: tuple[int, int]) -> Iterator[Relay]:
    """Both processes, each in a namespace of its own, reach each other by ADDRESSES."""
    devices: list[int] = []
    try:
        for number, (pid, address) in enumerate(zip(pids, ADDRESSES, strict=True)):
            name = f"pf{os.getpid()}{'ab'[number]}"[: _NAME_BYTES - 1]
            devices.append(_tun(name))
            _ip("link", "set", name, "netns", str(pid))
            inside = ("nsenter", "-t", str(pid), "-n", "ip")
            for told in (
                ("addr", "add", f"{address}/{PREFIX_BITS}", "dev", name),
                ("link", "set", name, "up"),
                ("link", "set", "lo", "up"),
            ):
                subprocess.run((*inside, *told), check=True, capture_output=True)
        program = "from benchmarks.wires.relay import carry; carry()"
        command = (sys.executable, "-c", program, *map(str, devices))
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=devices) as child:
            assert child.stdin is not None
            yield Relay(child.stdin)  # it ends with its input
    finally:
        for device in devices:
            os.close(device)


def carry() -> None:
    """The relay's own process: until its input ends."""
    one, other = (int(argument) for argument in sys.argv[1:])
    beyond, told = {one: other, other: one}, sys.stdin.fileno()
    waiting: deque[tuple[int, int, bytes]] = deque()  # due, to whom, what: in the order they came
    delay_ns = 0
    while True:
        wait_s = max(0, waiting[0][0] - monotonic_ns()) / 1e9 if waiting else None
        ready = select.select([one, other, told], [], [], wait_s)[0]
        if told in ready:
            line = sys.stdin.buffer.readline()
            if not line:
                return
            delay_ns = int(line)
        try:
            for device in ready:
                if device != told and len(waiting) < _PACKETS_MAX:
                    packet = os.read(device, _PACKET_BYTES)
                    waiting.append((monotonic_ns() + delay_ns, beyond[device], packet))
            while waiting and waiting[0][0] <= monotonic_ns():
                _, device, packet = waiting.popleft()
                os.write(device, packet)
        except OSError as error:
            if error.errno == errno.EBADFD:  # a namespace is gone, and its device with it
                return
            raise
