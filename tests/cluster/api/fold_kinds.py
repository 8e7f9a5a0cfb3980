"""What messages of folded chips cost a link, by hand."""

from typing import Any

import numpy as np

from workers.wire.kind import Kind
from workers.wire.kinds import chip

FIRST = np.array([7, 8], dtype=np.int64)

# content -> bytes beside the envelope
BY_HAND: list[tuple[Kind[Any], int]] = [
    (
        # Three tokens of each of two sequences: a name of 2, a stage of 1, position, cached and
        # tokens of 4 each; why one ended. When they were sampled costs nothing.
        chip.Stretch(
            ("r1", "r2"),
            ("both", "decode"),
            FIRST,
            np.array([[7, 8, 9], [4, 5, 6]], dtype=np.int64),
            FIRST,
            {"r1": "stop"},
            {"r1": {"queue": 5}},
            (200, 100, 0),
        ),
        2 * (2 + 1 + 2 * 4) + 2 * 3 * 4 + 4,
    ),
]
