"""A random sample of mutants."""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.mutants.sites import Change, Mutant, change, places, source_files


def drawn(root: Path, seed: int, only: str = "") -> Iterator[tuple[Mutant, Change]]:
    """In the order of their drawing, until none is left. First a place, then one of the faults
    that can be planted there: else an addition would be drawn eleven times as often as a call.

    only   files whose path begins so
    """
    texts = {path: (root / path).read_text("utf-8") for path in source_files(root)}
    found = [
        (path, faults)
        for path, text in texts.items()
        if path.startswith(only)
        for _, faults in sorted(places(path, text).items())
    ]
    chance = random.Random(seed)
    chance.shuffle(found)
    for path, faults in found:
        mutant = chance.choice(faults)
        what = change(mutant, texts[path])
        if what is not None:
            yield mutant, what
