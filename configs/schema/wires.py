"""Which wires between processes can be had here."""

import os
import sys
from importlib.util import find_spec
from typing import Literal

# How frames move between two processes; within one they only move by memory.
Wire = Literal["grpc", "shm", "ucx"]
# What a scenario may say of it: `auto` is the first that can be had.
WireChoice = Literal["auto", "grpc", "shm", "ucx"]
# The further right, the more places it reaches from.
_BY_REACH: tuple[Wire, ...] = ("shm", "ucx", "grpc")


def wire_between(one: Wire, other: Wire) -> Wire:
    """Of two nodes whose links name these: the one of both that reaches further."""
    return max(one, other, key=_BY_REACH.index)


def wire_of_machines(
    one: WireChoice, other: WireChoice, *, share_a_machine: bool, far: Wire
) -> Wire:
    """Of two nodes on machines of a network: `auto` is shared memory on one machine, and between
    two the wire `far`.
    """
    near: Wire = "shm" if share_a_machine else far
    return wire_between(*(near if choice == "auto" else choice for choice in (one, other)))


def fastest_wire() -> Wire:
    """The first of shared memory, UCX and gRPC that can be had here."""
    if not shm_hindrance():
        return "shm"
    return "ucx" if has_ucx() else "grpc"


# Where nodes listen that are all on this machine.
LOOPBACK = "127.0.0.1"


def has_ucx() -> bool:
    """Whether the extra `ucx` is installed here."""
    return find_spec("ucxx") is not None


def shm_hindrance() -> str:
    """What the wire over shared memory lacks here; "" where it can be had."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux: this is {sys.platform}"
    if os.environ.get("PERFUSE_ISA") == "reference":
        return "needs the native library, which PERFUSE_ISA=reference leaves aside: unset it"
    if find_spec("kernels.native._lib") is None:
        return "needs the native library: run `python -m kernels.native.build`"
    return ""
