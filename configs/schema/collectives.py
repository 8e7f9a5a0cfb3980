"""Which algorithms ranks use among themselves."""

from typing import Literal

from configs.schema.section import Section

Operation = Literal[
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce"
]
Algorithm = Literal[
    "direct", "two_shot", "ring", "tree", "recursive_doubling", "halving_doubling", "in_network"
]
# Of a sum over tensor-parallel ranks. "auto" chooses none by a switch, which is a node of its own.
AllReduce = Literal["auto", Algorithm]


class CollectivesSection(Section):
    """An algorithm for each operation that ranks ask for.

    all_reduce   sums over the tensor-parallel ranks of a chip. "auto": by the size of a share, what
                 is the quickest on the link of the group by itself
                 (`workers/collectives/choice.py`). "in_network": by a node with workers: [switch]
    """

    all_reduce: AllReduce = "auto"
