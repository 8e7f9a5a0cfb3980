"""What must not depend on Python's hash seed, computed anew under other seeds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def printed_under(seed: str, code: str) -> str:
    """What `code` prints in a process of its own, under this PYTHONHASHSEED."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
