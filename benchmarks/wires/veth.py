"""Two network namespaces joined by a cable of the kernel's (veth), with nothing between: packets of
one are the other's at once.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.namespaces import namespaces_hindrance
from benchmarks.wires import relay

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_TRY = "mount -t sysfs none /sys && ip link add pfa type veth peer name pfb"


def hindrance() -> str:
    """What is missing here; "" if nothing."""
    return namespaces_hindrance(_TRY, "cable")


def enter_namespace() -> None:
    """This process has a network of its own from now on, and a /sys that shows it: UCX looks there
    for devices. Raises OSError.
    """
    relay.enter_namespace()
    libc = ctypes.CDLL(None, use_errno=True)
    alone = ctypes.c_ulong(_MS_REC | _MS_PRIVATE)
    if (
        libc.unshare(_CLONE_NEWNS)
        or libc.mount(None, b"/", None, alone, None)
        or libc.mount(b"none", b"/sys", b"sysfs", ctypes.c_ulong(0), None)
    ):
        raise OSError(ctypes.get_errno(), "no /sys of its own can be mounted")


def _ip(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


@contextmanager
def joined(pids: tuple[int, int]) -> Iterator[None]:
    """Both processes, each in a namespace of its own, reach each other by the relay's addresses.
    The cable goes with the first of the namespaces.
    """
    names = (f"pf{os.getpid()}a", f"pf{os.getpid()}b")
    _ip("ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1])
    for name, pid, address in zip(names, pids, relay.ADDRESSES, strict=True):
        _ip("ip", "link", "set", name, "netns", str(pid))
        inside = ("nsenter", "-t", str(pid), "-n", "ip")
        _ip(*inside, "addr", "add", f"{address}/{relay.PREFIX_BITS}", "dev", name)
        _ip(*inside, "link", "set", name, "up")
        _ip(*inside, "link", "set", "lo", "up")
    yield
