"""Loading UCX changes nothing for anybody else in this process."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import ctypes

NAMES = "mmap munmap mremap madvise shmat shmdt brk sbrk".split()
libc = ctypes.CDLL(None)


def code():
    return [ctypes.string_at(ctypes.cast(getattr(libc, name), ctypes.c_void_p).value, 16)
            for name in NAMES]


before = code()
from kernels.all_to_all.ucx import UcxAllToAll
from tests.kernels.all_to_all.ranks import geometry

UcxAllToAll(geometry(), 0, bytes(32)).close()
import workers.wire.transport.ucx_library

print("changed:", [name for name, was, now in zip(NAMES, before, code()) if was != now])
"""


def test_functions_of_the_c_library_stay_as_they_are():
    """UCX can write jumps over those that map memory, while other threads run them."""
    if find_spec("ucxx") is None:
        pytest.skip("needs the extra ucx")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UCX_")}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines()[-1] == "changed: []"
