"""What tests find in shared memory of what they left."""

import mmap
import subprocess
import sys
import threading

import psutil
import pytest

from tests import shared_memory
from tests.shared_memory import left_behind, names

NAME = "ucx_of_a_test"
HOLDER = """
import mmap, sys
with open(sys.argv[1], "r+b") as file:
    held = mmap.mmap(file.fileno(), 0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """In a place of its own: in the machine's, another test beside would find it left."""
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    return tmp_path / NAME


def test_what_nobody_has_was_left(path) -> None:
    before = names()
    path.write_bytes(bytes(4096))
    assert path.name in left_behind(before)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert path.name in left_behind(before), "what this process has is its own"


def test_what_goes_by_itself_was_not(path, monkeypatch) -> None:
    monkeypatch.setattr(shared_memory, "MOMENT_S", 60.0)
    before = names()
    path.write_bytes(bytes(4096))
    threading.Timer(0.05, path.unlink).start()
    assert path.name not in left_behind(before)


def test_what_another_process_has_is_its(path, monkeypatch) -> None:
    before = names()
    path.write_bytes(bytes(4096))
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert path.name in left_behind(before), "its own child's is this process's"
        monkeypatch.setattr(psutil.Process, "children", lambda *_, **__: [])
        assert path.name not in left_behind(before)
