"""A test process that dies is heard: which signal, and where every thread was."""

import os
import subprocess
import sys
from pathlib import Path

from tests import last_words

DIES = """
import os, signal, sys, threading
from pathlib import Path
from tests import last_words

begun, never = threading.Event(), threading.Event()

def waits():
    begun.set()
    never.wait()

def dies():
    os.kill(os.getpid(), signal.SIGSEGV)

last_words.hear(Path(sys.argv[1]), "gw7")
threading.Thread(target=waits, daemon=True).start()
begun.wait()
dies()
"""


def test_of_who_died_the_stack_comes_first_and_of_others_the_top(tmp_path: Path) -> None:
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": root},
        check=False,
    )
    assert done.returncode == -11
    lines = last_words.told(tmp_path)
    assert lines[:2] == ["gw7:", "Fatal Python error: Segmentation fault"]
    assert lines[2].startswith("Current thread")
    threads = [i for i, line in enumerate(lines) if line.startswith("Thread")]
    assert len(threads) == 1 and len(lines) <= threads[0] + 1 + last_words.LINES_OF_OTHERS


def test_who_lives_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "gw0").touch()
    assert last_words.told(tmp_path) == []


def test_what_only_calls_tests_is_left_out_and_modules_are_not_listed(tmp_path: Path) -> None:
    text = """Fatal Python error: Aborted

Thread 0x2 (most recent call first):
  File "a.py", line 1 in a
  File "b.py", line 2 in b
  File "c.py", line 3 in c

Current thread 0x1 (most recent call first):
  File "tests/test_x.py", line 4 in test_x
  File "lib/site-packages/_pytest/python.py", line 5 in call

Extension modules: numpy, torch (total: 2)
"""
    (tmp_path / "gw1").write_text(text)
    assert last_words.told(tmp_path) == [
        "gw1:",
        "Fatal Python error: Aborted",
        "Current thread 0x1 (most recent call first):",
        '  File "tests/test_x.py", line 4 in test_x',
        "Thread 0x2 (most recent call first):",
        '  File "a.py", line 1 in a',
        '  File "b.py", line 2 in b',
    ]
