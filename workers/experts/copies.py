"""Experts with several copies: which one a token asks follows from the token alone.

A copy is a slot: an expert on one shard. A token's number for an expert is a hash of its request,
its position and the expert; the copies of that expert share all numbers, each as many as its weight
says. So a token asks the same copies whatever batch it is in, and when it is computed again.

Letters: T tokens, K experts a token, E experts, P slots, R copies of an expert.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

NOBODY = -1
# Odd constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): its increment, its finaliser.
_STEP, _MIX_1, _MIX_2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
_NUMBERS = 1 << 32  # of a token for an expert


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """first_E    slot of each expert's first copy; its others follow
    ends_ER    numbers before this are of the r-th copy or one before it; the last copy has the rest
    owners_P   index of the shard of each slot, and NOBODY at the end
    experts_P  expert of each slot, and NOBODY at the end
    """

    first_E: NDArray[np.int32]
    ends_ER: NDArray[np.uint64]
    owners_P: NDArray[np.int32]
    experts_P: NDArray[np.int32]

    @classmethod
    def of(
        cls, holders: Sequence[Sequence[int]], weights: Mapping[tuple[int, int], float]
    ) -> "Copies":
        """holders   of each expert the indexes of its shards
        weights   (expert, shard's index) -> its share of the expert's tokens, in any unit; 1 where
                  it is left out, so all are even

        Raises ValueError where an expert's weights are negative or all 0.
        """
        most = max(len(shards) for shards in holders)
        ends_ER = np.full((len(holders) + 1, most - 1), _NUMBERS, dtype=np.uint64)
        first, owners, experts = [], list[int](), list[int]()
        for expert, shards in enumerate(holders):
            shares = [weights.get((expert, shard), 1.0) for shard in shards]
            if min(shares) < 0 or not sum(shares):
                raise ValueError(f"copies of expert {expert} have weights {shares}: one above 0")
            upto = np.cumsum(shares) / sum(shares)
            ends_ER[expert, : len(shards) - 1] = np.round(upto[:-1] * _NUMBERS).astype(np.uint64)
            first.append(len(owners))
            owners += shards
            experts += [expert] * len(shards)
        # Of NOBODY, which is the last row of `ends_ER`, the slot is NOBODY, too.
        table = cls(
            np.array([*first, NOBODY], dtype=np.int32),
            ends_ER,
            np.array([*owners, NOBODY], dtype=np.int32),
            np.array([*experts, NOBODY], dtype=np.int32),
        )
        for array in (table.first_E, table.ends_ER, table.owners_P, table.experts_P):
            array.flags.writeable = False
        return table

    def without(self, gone: Collection[int]) -> "Copies":
        """Those on other shards, where an expert has any: each has its part of what these had."""
        holders, weights = list[list[int]](), dict[tuple[int, int], float]()
        firsts = self.first_E[:-1].tolist()
        for expert, (first, end) in enumerate(pairwise([*firsts, len(self.owners_P) - 1])):
            shards = self.owners_P[first:end].tolist()
            ends = [0, *self.ends_ER[expert, : len(shards) - 1].tolist(), _NUMBERS]
            shares = {shard: upto - since for shard, (since, upto) in
                      zip(shards, pairwise(ends), strict=True)}  # fmt: skip
            left = [shard for shard in shards if shard not in gone] or shards
            holders.append(left)
            if any(shares[shard] for shard in left):  # else all are even
                weights.update({(expert, shard): shares[shard] for shard in left})
        return Copies.of(holders, weights)

    def slots(
        self,
        requests_T: NDArray[np.uint64],
        positions_T: NDArray[np.int64],
        experts_TK: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """The copy that each token asks for each of its experts, [T, K]. Raises ValueError on an
        expert that is not there.
        """
        num_experts = len(self.first_E) - 1
        if experts_TK.size and not NOBODY <= experts_TK.min() <= experts_TK.max() < num_experts:
            strange = experts_TK[(experts_TK < NOBODY) | (experts_TK >= num_experts)]
            raise ValueError(f"experts_TK names expert {strange[0]}; there are {num_experts}")
        tokens_T = _mixed(requests_T + positions_T.astype(np.uint64) * _STEP)
        asked_TK = tokens_T[:, None] + experts_TK.astype(np.uint64) * _STEP
        numbers_TK = _mixed(asked_TK) >> np.uint64(32)
        copy_TK = (numbers_TK[..., None] >= self.ends_ER[experts_TK]).sum(axis=-1, dtype=np.int32)
        slots_TK: NDArray[np.int32] = self.first_E[experts_TK] + copy_TK
        return slots_TK


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: each bit depends on all."""
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))
