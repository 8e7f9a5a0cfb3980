"""The native library, where it is built: which one runs, and how to force another.

PERFUSE_ISA names an instruction set (portable, avx2, avx512, avx512_bf16, amx; amx-emulated, which
is for tests and never chosen by itself) or "reference", which leaves the library aside.
PERFUSE_THREADS (1 .. 256) and PERFUSE_SPIN_US (-1 .. 1000000) set the thread pool's size and how
long an idle thread looks for work before it sleeps.
"""

import os
from importlib import import_module
from typing import Any

REFERENCE = "reference"


def _load() -> tuple[Any, str]:
    """The library and why there is none, of which one is empty."""
    if os.environ.get("PERFUSE_ISA") == REFERENCE:
        return None, f"PERFUSE_ISA is {REFERENCE}"
    try:
        library = import_module("kernels.native._lib")
    except ImportError as error:
        return None, f"not built ({error}): run `python -m kernels.native.build`"
    # What the environment asks for and cannot be fails now, not in mid-step.
    library.isa()
    library.num_threads()
    return library, ""


lib, missing = _load()


def isas() -> tuple[str, ...]:
    """Instruction sets that this machine can run, slowest first; empty without the library."""
    return tuple(lib.isas().split()) if lib is not None else ()


def force(isa: str) -> None:
    """Use this instruction set from now on, while no kernel runs.

    Raises ValueError where it is not one of `isas()`.
    """
    if lib is None:
        raise ValueError(f"instruction set {isa!r}: the native library is {missing}")
    lib.force_isa(isa)


def set_num_threads(threads: int) -> None:
    """Threads that work on one call, the caller's included: 1 .. 256, else ValueError."""
    if lib is not None:
        lib.set_num_threads(threads)


def set_spin_us(microseconds: int) -> None:
    """How long an idle thread looks for work before it sleeps; -1 adapts to the machine's load."""
    if lib is not None:
        lib.set_spin_us(microseconds)
