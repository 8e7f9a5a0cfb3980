"""What messages by way of a switch cost, by hand: see `test_kinds`."""

from typing import Any

import numpy as np

from workers.hardware.energy.phase import Phase
from workers.wire.kind import Kind
from workers.wire.kinds.experts import Dispatch, Gather
from workers.wire.kinds.switched import Multicast, Partial, Reduced, Relayed

# T = 3 tokens, K = 2 experts each, H = 10.
REQUEST, POSITION = np.zeros(3, np.uint64), np.zeros(3, np.int64)
EXPERTS, WEIGHTS = np.zeros((3, 2), np.int32), np.zeros((3, 2), np.float32)
ROWS = np.zeros((3, 10), np.float32)
SUMS = np.zeros((3, 10), np.float64)
GATHER = Gather("switch-0", 7, ("experts-0", "experts-3"), 10**9)
# Addresses of the switch and of two shards, a number and a time.
GATHER_BYTES = 4 + 8 + 2 * 4 + 8
A_TOKEN = 8 + 4 + 2 * 4 + 2 * 4 + 10 * 4

BY_HAND: list[tuple[Kind[Any], int]] = [
    (
        Dispatch(3, REQUEST, POSITION, EXPERTS, WEIGHTS, ROWS, gather=GATHER),
        4 + 3 * A_TOKEN + GATHER_BYTES,
    ),
    (
        Relayed(
            3,
            REQUEST,
            POSITION,
            EXPERTS,
            WEIGHTS,
            ROWS,
            Phase.SERVING,
            None,
            "decode-0",
            1,
            5,
            4,
            10**9,
        ),
        4 + 3 * A_TOKEN,
    ),
    # Each token once, and whom each of its experts asks; the numbers of two calls.
    (
        Multicast(
            3,
            REQUEST,
            POSITION,
            EXPERTS,
            WEIGHTS,
            np.zeros((3, 2), np.int16),
            ROWS,
            GATHER.shards,
            (5, 6),
            (4, 4),
            9,
            GATHER,
        ),
        4 + 3 * (A_TOKEN + 2 * 2) + 2 * 8 + GATHER_BYTES,
    ),
    # Whose each sum is, and the number of the call.
    (
        Partial(REQUEST, POSITION, SUMS, GATHER, 5, "decode-0", 1),
        3 * (8 + 4) + 3 * 10 * 4 + GATHER_BYTES + 8,
    ),
    # Two shards' terms of 3 and 1 rows, which were added to 3.
    (
        Reduced(
            REQUEST, POSITION, (5, 6), GATHER.shards, 1, 3 * 10 * 4, {"0": SUMS, "1": SUMS[:1]}
        ),
        3 * (8 + 4) + 2 * 8 + 3 * 10 * 4,
    ),
]
