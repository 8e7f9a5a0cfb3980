"""Which shard holds which expert: a table that a dispatch is given, so that it may change between
two of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOBODY = -1  # an expert id, or a shard's index, that stands for none


@dataclass(frozen=True, slots=True, eq=False)
class RoutingTable:
    """version   counts changes; of two tables the higher is the newer
    shards    names, in the order in which their sums merge
    owners_E  index into `shards` for each expert, and NOBODY at the end: so NOBODY, as an expert's
              id, has no owner
    """

    version: int
    shards: tuple[str, ...]
    owners_E: NDArray[np.int32]

    @classmethod
    def of(
        cls, expert_shards: Mapping[int, str], shards: Sequence[str], version: int = 0
    ) -> "RoutingTable":
        """expert_shards   expert -> shard, for experts 0, 1, ... without a gap

        Raises ValueError where there is a gap, or a shard that is not in `shards`.
        """
        index = {name: i for i, name in enumerate(shards)}
        if sorted(expert_shards) != list(range(len(expert_shards))):
            raise ValueError(f"experts {sorted(expert_shards)} are placed: none may be left out")
        if unknown := [name for name in expert_shards.values() if name not in index]:
            raise ValueError(f"experts are placed on {unknown[0]!r}; shards are {list(shards)}")
        owners = [index[expert_shards[e]] for e in range(len(expert_shards))]
        table = np.array([*owners, NOBODY], dtype=np.int32)
        table.flags.writeable = False
        return cls(version, tuple(shards), table)
