"""What one member's messages carry, round by round, without a network."""

import numpy as np

from workers.collectives.held import Held
from workers.collectives.named import schedule_of
from workers.collectives.progress import Progress
from workers.model.numerics import EXACT_NUMERICS


def test_a_term_that_the_receiver_has_stays() -> None:
    """Recursive doubling of 3 ranks, as rank 1 has it. First everybody gives its own term to the
    next: so 2 has 1's. Then 1 gives what it holds, its own and 0's, without its own.
    """
    held = Held(EXACT_NUMERICS, 3)
    held.put(0, 1, np.ones(4), 16)
    progress = Progress(schedule_of("all_reduce", "recursive_doubling", 3).steps(1), held)
    (first,) = progress.begin()
    assert (first.transfer.to, list(first.held)) == (2, ["0.1"])
    (second,) = progress.arrived(0, 0, [16], {"0.0": np.ones(4)})
    assert (second.transfer.to, list(second.held)) == (2, ["0.0"])
    assert second.num_bytes == (16,)
