"""What the ranks of a chip tell each other, and its bytes beside the envelope, by hand."""

from typing import Any

import numpy as np

from workers.hardware.energy.phase import Phase
from workers.wire.kind import Kind
from workers.wire.kinds import ranks

INDEX = np.arange(3, dtype=np.int64)
CHECKSUMS = np.arange(3, dtype=np.uint64)
BLOCKS = np.zeros((3, 2, 8), dtype=np.float32)
SUMS = np.zeros((3, 10), dtype=np.float64)
ROWS = np.zeros((3, 10), dtype=np.float32)
GONE = {"code": "peer_dead", "message": "gone", "facts": {}}
# Two rows of 8 each; what a message says of an error.
FAILED = {"a": {"rows": [0, 2], "error": GONE}}

BY_HAND: list[tuple[Kind[Any], int]] = [
    (
        # Three numbers; "r1" and "r2", three numbers each, three ids of their blocks and two of
        # tokens; "r3" has ended. How long prompts are costs nothing.
        ranks.StepOrder(
            0, 7, 5, ("r1", "r2"), (0, 9), (1, 1), (0, 1), ((3, 4), (5,)), (8, 9), (9, 9), ("r3",)
        ),
        3 * 4 + 2 * (2 + 3 * 4) + 3 * 4 + 2 * 4 + 2,
    ),
    (ranks.ExpectKv(0, 7, (3, 4), ("r3",)), 2 * 4 + 2 * 4 + 2),
    (ranks.Forget(0, 7, ("r3",)), 2 * 4 + 2),
    (ranks.Share(5, 1, SUMS, {}, Phase.DECODE), 2 * 4 + 3 * 10 * 4),
    (ranks.Share(5, 1, SUMS, FAILED, Phase.DECODE), 2 * 4 + 120 + 2 * 8 + 13),
    (ranks.StageRows(5, 1, ROWS, {}, Phase.DECODE), 2 * 4 + 3 * 10 * 4),
    (ranks.StageRows(5, 1, ROWS[:0], {"r1": GONE}, Phase.DECODE), 2 * 4 + 9 + 4),
    (ranks.StepFailed(5, GONE), 4 + 9 + 4),
    (ranks.KvSend("decode-0", 2, (3, 4), 9), 8 + 4 + 2 * 4 + 8),
    (ranks.KvPart(INDEX, CHECKSUMS, 2, 1, BLOCKS), 3 * 4 + 3 * 8 + 2 * 4 + 3 * 16 * 4),
]
