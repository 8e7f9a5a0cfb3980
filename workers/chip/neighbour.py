"""A neighbour that takes some of a chip's memory: what is left for KV.

It reaches behind the scheduler, as a neighbour does: nobody is asked, and whoever needs a block
that cannot be had waits, or preempts, as ever.
"""

from workers.chip.chip import Chip


def take(chip: Chip, share: float) -> None:
    """This share of all blocks is the neighbour's from now on; 0 gives all back."""
    chip._scheduler.blocks.withhold(share)
