"""What belongs to a measured command: its descendants, and whoever else carries its mark."""

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from benchmarks.process_memory import MARK, memory_of, processes_of

# Starts a child, and an orphan in a session of its own; says their ids and waits for stdin's end.
PARENT = """
import subprocess, sys
sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(sleep, stdin=sys.stdin)
code = (
    "import subprocess, sys;"
    "print(subprocess.Popen(sys.argv[1:], stdin=sys.stdin, stdout=subprocess.DEVNULL,"
    " start_new_session=True).pid)"
)
orphan = subprocess.run(
    [sys.executable, "-c", code, *sleep], stdin=sys.stdin, stdout=subprocess.PIPE, text=True
).stdout.strip()
print(child.pid, orphan, flush=True)
child.wait()
"""


@pytest.mark.live
@pytest.mark.timeout(60)
def test_children_and_orphans_count_and_strangers_do_not():
    environment = {**os.environ, MARK: "test-mark"}
    process = subprocess.Popen(
        (sys.executable, "-c", PARENT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        child, orphan = (int(word) for word in process.stdout.readline().split())
        found = {m.pid: m for m in memory_of(process.pid, "test-mark")}
        assert sorted(found) == sorted((process.pid, child, orphan))
        assert all(m.pss_bytes > 1 << 20 for m in found.values())
        assert os.getpid() not in found
    finally:
        process.communicate("")  # its stdin ends, so all three do
    for pid in (child, orphan):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(timeout=20)
    assert not list(processes_of(process.pid, "test-mark"))
