"""Random batches for a flash file, and the plain dictionary that says what it must hold.

A page's contents follow from who it is and its version, so whoever reads it knows whether it was
ever written, and when.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from workers.errors import NotFound
from workers.flash.errors import DamagedPage
from workers.flash.flash_file import FlashFile
from workers.flash.geometry import FlashGeometry

NAME = "hbf"
HOT = 6  # of the pages, those that most batches write


def contents(logical: int, version: int, page_bytes: int) -> bytes:
    said = f"page {logical} version {version};".encode()
    return (said * (page_bytes // len(said) + 1))[:page_bytes]


@dataclass(frozen=True)
class Batch:
    """Pages and the versions they get; None discards them."""

    versions: dict[int, int | None]

    def apply(self, flash: FlashFile) -> None:
        size = flash.geometry.page_bytes
        pages = {i: contents(i, v, size) for i, v in self.versions.items() if v is not None}
        if pages:
            flash.write(pages)
        else:
            flash.trim(self.versions)


def batches(
    rng: np.random.Generator, geometry: FlashGeometry, pages_max: int, first_version: int = 1
) -> Iterator[Batch]:
    """Without end: one in eight discards; most go to a few hot pages, as KV does."""
    version = first_version
    while True:
        reach = pages_max if rng.random() < 0.3 else min(HOT, pages_max)
        num = int(rng.integers(1, min(geometry.pages_per_block, reach) + 1))
        ids = [int(i) for i in rng.choice(reach, num, replace=False)]
        trims = rng.random() < 0.125
        yield Batch(dict.fromkeys(ids, None if trims else version))
        version += 1


@dataclass
class Expected:
    """What was acknowledged, and the batch of which nobody knows whether it was."""

    versions: dict[int, int] = field(default_factory=dict)
    pending: Batch | None = None
    next_version: int = 1

    def begin(self, batch: Batch) -> None:
        self.pending = batch
        self.next_version += 1

    def acknowledge(self) -> None:
        assert self.pending is not None
        self.versions = self._after(self.pending)
        self.pending = None

    def _after(self, batch: Batch) -> dict[int, int]:
        merged = {**self.versions, **batch.versions}
        return {logical: version for logical, version in merged.items() if version is not None}

    def settle(self, flash: FlashFile) -> list[str]:
        """What is wrong with what the flash holds after a crash; then take what it holds as so.
        The batch that was under way is there whole or not at all.
        """
        allowed = [self.versions] + ([self._after(self.pending)] if self.pending else [])
        wrong = [differences(flash, versions) for versions in allowed]
        for versions, found in zip(allowed, wrong, strict=True):
            if not found:
                self.versions, self.pending = versions, None
                return []
        return wrong[0]


def differences(flash: FlashFile, versions: dict[int, int]) -> list[str]:
    """Every page of the flash that is not as it must be; a damaged one is."""
    found = []
    for logical in range(flash.geometry.num_logical):
        version = versions.get(logical)
        try:
            data = flash.read(logical)
        except NotFound:
            if version is not None:
                found.append(f"page {logical} version {version} is lost")
        except DamagedPage as error:
            found.append(f"page {logical}: {error.message}")
        else:
            if version is None or data != contents(logical, version, len(data)):
                found.append(f"page {logical} serves {data[:24]!r}, not version {version}")
    return found
