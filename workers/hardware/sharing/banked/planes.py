"""Planes: what senses a page, programs it, or writes a disturbed block anew, one thing at a time.

Pages lie over channels first, then over banks, then over planes, so that neighbours are apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.schema.tier import TierSpec
from workers.hardware.sharing.banked import PS
from workers.host.rng import Rng

Ints = NDArray[np.int64]
_DRAWS = 1_024  # of retries at once


@dataclass(frozen=True, slots=True)
class Geometry:
    """How many there are of each; pages are numbered over all of the tier."""

    channels: int
    banks: int  # of all channels
    planes: int  # of all banks
    pages: int

    @classmethod
    def of(cls, spec: TierSpec) -> "Geometry":
        assert spec.banks is not None, "a tier with banks"
        banks = spec.channels * spec.banks
        return cls(spec.channels, banks, spec.num_planes, spec.capacity_bytes // spec.page_bytes)


class Planes:
    """When each plane is free, and what a page costs it.

    num_retries, num_refreshes   pages sensed a second time; blocks written anew
    block_pages   of a block written anew: as many as are sensed and programmed in its time, so at
                  most those that it has (erasing takes some of it)
    """

    def __init__(self, spec: TierSpec, geometry: Geometry, rng: Rng, name: str) -> None:
        self._rng, self._name, self._num_blocks = rng, name, 0
        self.sense_ps = spec.read_latency_ns * PS
        self.program_ps = spec.write_latency_ns * PS
        self.erase_ps = spec.erase_ns * PS
        retry, disturb = spec.read_retry, spec.read_disturb
        self._retries = 0.0 if retry is None else retry.probability
        self.retry_ps = 0 if retry is None else retry.latency_ns * PS
        # Each block is written anew after so many reads of its own. So of a plane's reads, each so
        # many make one refresh due, however they lie over its blocks.
        self._reads_most = 0 if disturb is None else disturb.reads
        self._refresh_ps = 0 if disturb is None else disturb.refresh_ns * PS
        self.block_pages = self._refresh_ps // max(1, self.sense_ps + self.program_ps)
        self.free_ps: Ints = np.zeros(geometry.planes, np.int64)
        self._reads: Ints = np.zeros(geometry.planes, np.int64)
        self._draws: list[bool] = []
        self.num_retries = self.num_refreshes = 0

    def sense(self, at_ps: int, plane: int) -> int:
        """Queue a page for its plane; returns when it is sensed."""
        free_ps = int(self.free_ps[plane])
        ready_ps = (at_ps if at_ps > free_ps else free_ps) + self.sense_ps
        if self._retries and self._is_retried():
            self.num_retries += 1
            ready_ps += self.retry_ps
        free_ps = ready_ps
        if self._reads_most:
            self._reads[plane] += 1
            if not self._reads[plane] % self._reads_most:
                self.num_refreshes += 1
                free_ps += self._refresh_ps
        self.free_ps[plane] = free_ps
        return ready_ps

    def program(self, at_ps: int, plane: int) -> int:
        """Queue a page to be programmed; returns when it is."""
        end_ps = max(at_ps, int(self.free_ps[plane])) + self.program_ps
        self.free_ps[plane] = end_ps
        return end_ps

    def erase(self, at_ps: int, plane: int) -> int:
        """Queue an erase; returns when it is done. Nothing is sensed or programmed meanwhile."""
        end_ps = max(at_ps, int(self.free_ps[plane])) + self.erase_ps
        self.free_ps[plane] = end_ps
        return end_ps

    def sense_many(self, at_ps: int, pages: Ints, num_pages: int) -> tuple[Ints, int]:
        """Queue so many pages for each plane; returns when each would have sensed the last of them
        if they had come at once, and how many were retried.
        """
        extra = np.zeros_like(pages)
        retried = self._spread_retries(pages, num_pages, extra)
        ready_ps = np.maximum(self.free_ps, at_ps) + pages * self.sense_ps + extra
        if self._reads_most:
            before = self._reads // self._reads_most
            self._reads += pages
            refreshes = self._reads // self._reads_most - before
            self.num_refreshes += int(refreshes.sum())
            held_ps = refreshes * self._refresh_ps
            ready_ps += np.where(pages > 1, held_ps, 0)  # a refresh follows its read
            self.free_ps = np.where(pages > 0, ready_ps + np.where(pages > 1, 0, held_ps),
                                    self.free_ps)  # fmt: skip
        else:
            self.free_ps = np.where(pages > 0, ready_ps, self.free_ps)
        return ready_ps, retried

    def mean_sense_ps(self) -> int:
        """With what retries add."""
        return self.sense_ps + int(self._retries * self.retry_ps)

    def _spread_retries(self, pages: Ints, num_pages: int, extra: Ints) -> int:
        if not self._retries:
            return 0
        generator = self._next()
        retried = int(generator.binomial(num_pages, self._retries))
        if retried:
            shares = pages / pages.sum()
            extra += generator.multinomial(retried, shares) * self.retry_ps
        self.num_retries += retried
        return retried

    def _is_retried(self) -> bool:
        if not self._draws:
            self._draws = (self._next().random(_DRAWS) < self._retries).tolist()
        return self._draws.pop()

    def _next(self) -> np.random.Generator:
        self._num_blocks += 1
        return self._rng.generator(self._name, "retries", self._num_blocks)
