"""What computes the times of all members' steps: see `kernels.fold`."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kernels.fold import Chosen, Counts, Drawn, Ended, UnderWay


class Engine(Protocol):
    """See `kernels.fold`."""

    def begin(
        self, chip: int, start_ns: int, launches_ns: NDArray[np.int64], choices: Chosen | Drawn
    ) -> None: ...

    def cut(self, chip: int) -> None: ...

    def advance(self, until_ns: int | None, each_step: bool) -> list[Ended]: ...

    def under_way(self, chip: int, now_ns: int) -> UnderWay | None: ...

    def hold(self, chip: int, now_ns: int, until_ns: int, slow: float) -> None: ...

    def lengthen(self, chip: int, now_ns: int, by_ns: int) -> None: ...

    def leave(self, chip: int, now_ns: int, num_bytes: int) -> int: ...

    def come(self, chip: int, now_ns: int, num_bytes: int, limit_per_s: int) -> int: ...

    @property
    def now_ns(self) -> int: ...

    def next_ns(self) -> int | None: ...

    def counts(self) -> Counts: ...
