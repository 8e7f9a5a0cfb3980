"""Writes to a flash file until it is killed: `python -m benchmarks.memory.flash_child FOLDER SEED
VERSION`. A process of its own, so that kill -9 can end it at any moment.

Tells on stdout, a JSON line each, of every batch before it is written, and when it is acknowledged.
"""

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.memory.flash_load import NAME, batches
from workers.flash.errors import FlashFull
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import FolderDisk
from workers.host.rng import Rng

# 0.9 MiB; a batch or two fill a block, so that most kills meet blocks that move or are erased.
GEOMETRY = FlashGeometry(
    num_blocks=24, spare_blocks=6, pages_per_block=8, endurance_cycles=5000, wear_spread_max=8
)


def main() -> None:
    folder, seed, version = sys.argv[1:]
    flash = open_flash(FolderDisk(Path(folder)), NAME, GEOMETRY, Rng(0))
    rng = np.random.default_rng(int(seed))
    try:
        for batch in batches(rng, GEOMETRY, GEOMETRY.num_logical, int(version)):
            print(json.dumps({"begun": list(batch.versions.items())}), flush=True)
            batch.apply(flash)
            print(json.dumps({"acknowledged": True}), flush=True)
    except FlashFull as error:
        print(json.dumps({"full": error.message}), flush=True)


if __name__ == "__main__":
    main()
