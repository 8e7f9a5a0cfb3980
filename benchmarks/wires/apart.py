"""How far the two processors of this machine are apart: a cache line there and back.

A rented machine's processors may be two cores of one cache at one moment and of two chips at the
next, as its host moves them: 105 ns or 525 ns were seen, within a minute. No exchange between two
processes can be quicker than what its cache lines take.
"""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")
PROGRAM = Path(__file__).resolve().parent.parent.parent / "build" / "wires" / "apart"
# Two cores of one cache; beyond it lines cross between chips.
NEAR_NS = 250.0


def apart_ns() -> float | None:
    """Nanoseconds; None without a compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < SOURCE.stat().st_mtime:
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        command = (compiler, "-O2", "-pthread", "-o", str(PROGRAM), str(SOURCE))
        subprocess.run(command, check=True, capture_output=True)
    told = subprocess.run((str(PROGRAM),), check=True, capture_output=True, text=True, timeout=60)
    return float(told.stdout)
