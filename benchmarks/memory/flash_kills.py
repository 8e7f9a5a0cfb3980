"""A flash file in a folder whose writer is killed with kill -9, again and again, at random moments.

The parent knows what the child had told before it died, opens the same file, and reads all of it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from time import monotonic

import numpy as np

from benchmarks.memory.flash_child import GEOMETRY
from benchmarks.memory.flash_load import NAME, Batch, Expected
from workers.flash.errors import DamagedFlash
from workers.flash.opening import open_flash
from workers.host.disk import FolderDisk
from workers.host.rng import Rng

ROOT = Path(__file__).resolve().parents[2]
# It has opened the file by then on a busy machine too; an eighth of kills do not wait for it.
OPENED_S, WORKS_S_MAX = 60.0, 0.1


@dataclass
class Kills:
    """num_amid  kills that met a batch which was begun and not acknowledged"""

    num_kills: int = 0
    num_batches: int = 0
    num_amid: int = 0
    num_erases: int = 0
    wrong: list[str] = field(default_factory=list)


def kill_often(num_kills: int, seed: int) -> Kills:
    """All on one file: each child goes on where the one before was killed."""
    done, rng, expected = Kills(), np.random.default_rng(seed), Expected()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_kills):
            told = _killed(Path(folder), number, expected.next_version, rng)
            _hear(told, expected, done)
            done.num_kills += 1
            done.num_amid += expected.pending is not None
            disk = FolderDisk(Path(folder))
            try:
                flash = open_flash(disk, NAME, GEOMETRY, Rng(0))
                done.wrong += expected.settle(flash)
                done.num_erases = sum(flash.erases)
            except DamagedFlash as error:
                done.wrong.append(error.message)
                break
            finally:
                disk.close()
    return done


def _killed(folder: Path, number: int, version: int, rng: np.random.Generator) -> list[str]:
    """The lines that one child told before it was killed; a last one that is cut is left out."""
    command = [sys.executable, "-m", "benchmarks.memory.flash_child", str(folder)]
    waits_for_it = rng.random() >= 0.125
    with subprocess.Popen(
        [*command, str(number), str(version)], stdout=subprocess.PIPE, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        if waits_for_it:
            select([child.stdout], [], [], OPENED_S)
        text = _read_for(child.stdout.fileno(), rng.uniform(0, WORKS_S_MAX))
        os.kill(child.pid, signal.SIGKILL)
        text += child.stdout.read()
    assert child.returncode == -signal.SIGKILL, f"the child ended by itself: {child.returncode}"
    return text.decode().split("\n")[:-1]


def _read_for(descriptor: int, seconds: float) -> bytes:
    """What comes in that time, so that a full pipe never holds the child."""
    ends, text = monotonic() + seconds, b""
    while (left := ends - monotonic()) > 0:
        if select([descriptor], [], [], left)[0]:
            text += os.read(descriptor, 1 << 16)
    return text


def _hear(told: list[str], expected: Expected, done: Kills) -> None:
    for line in told:
        said = json.loads(line)
        if "begun" in said:
            expected.begin(Batch(dict(said["begun"])))
        elif "acknowledged" in said:
            expected.acknowledge()
            done.num_batches += 1
        else:
            done.wrong.append(said["full"])
