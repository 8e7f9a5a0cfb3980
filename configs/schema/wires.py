"""Which wires between processes can be had here."""

import os
import sys
from importlib.util import find_spec


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
