"""The adapter for this tree with links that messages share fairly, as they do by default."""

from functools import partial

from benchmarks.events import this_tree

stand = partial(this_tree.stand, sharing="fair")
