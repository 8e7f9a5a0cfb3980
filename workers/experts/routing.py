"""Which shards hold which expert: a table that a dispatch is given, so that it may change between
two of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.experts.copies import NOBODY, Copies

__all__ = ["NOBODY", "RoutingTable"]

# (expert, shard) -> that copy's share of the expert's tokens.
Weights = Mapping[tuple[int, str], float]
EVEN: Weights = {}


@dataclass(frozen=True, slots=True, eq=False)
class RoutingTable:
    """version   counts changes; of two tables the higher is the newer
    shards    names, in the order in which their sums merge
    owners_E  index into `shards` for each expert, of its first copy, and NOBODY at the end: so
              NOBODY, as an expert's id, has no owner
    copies    where an expert has several; None: all have one
    """

    version: int
    shards: tuple[str, ...]
    owners_E: NDArray[np.int32]
    copies: Copies | None = None

    @classmethod
    def of(
        cls,
        expert_shards: Mapping[int, str | Sequence[str]],
        shards: Sequence[str],
        version: int = 0,
        weights: Weights = EVEN,
    ) -> "RoutingTable":
        """expert_shards   expert -> shard, or all shards that hold it, for experts 0, 1, ...
                        without a gap
        weights         of copies; even where they are left out

        Raises ValueError where there is a gap, a shard that is not in `shards`, an expert without
        one or twice on the same, or a weight of nothing.
        """
        index = {name: i for i, name in enumerate(shards)}
        if sorted(expert_shards) != list(range(len(expert_shards))):
            raise ValueError(f"experts {sorted(expert_shards)} are placed: none may be left out")
        holders = list[list[int]]()
        for expert in range(len(expert_shards)):
            held = expert_shards[expert]
            names = [held] if isinstance(held, str) else list(held)
            if unknown := [name for name in names if name not in index]:
                raise ValueError(f"experts are placed on {unknown[0]!r}; shards are {list(shards)}")
            if not names or len(set(names)) < len(names):
                raise ValueError(f"expert {expert} is on {names}: on one or several, each once")
            holders.append([index[name] for name in names])
        table = np.array([*(held[0] for held in holders), NOBODY], dtype=np.int32)
        table.flags.writeable = False
        copies = None
        if any(len(held) > 1 for held in holders):
            shares = {(expert, index[name]): share for (expert, name), share in weights.items()}
            copies = Copies.of(holders, shares)
        return cls(version, tuple(shards), table, copies)

    def without(self, gone: Sequence[int]) -> "RoutingTable":
        """No copy is asked on these shards, by index, where its expert has others: these share its
        tokens. An expert whose copies are all there is asked for there.
        """
        if self.copies is None or not gone:
            return self
        copies = self.copies.without(gone)
        owners_E = copies.owners_P[copies.first_E]
        owners_E.flags.writeable = False
        return RoutingTable(self.version, self.shards, owners_E, copies)

    def held_by(self, shard: int, experts: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of some experts that a shard has a copy of, in their order."""
        if self.copies is None:
            is_held = self.owners_E[experts] == shard
        else:
            here = self.copies.experts_P[self.copies.owners_P == shard]
            is_held = np.isin(experts, here)
        held: NDArray[np.int32] = experts[is_held]
        return held
