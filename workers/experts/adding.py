"""Sums of experts that a chip's own engine at the link adds as they come (`hardware.additions`)."""

import numpy as np
from numpy.typing import NDArray

from workers.hardware.additions import Additions
from workers.hardware.energy.phase import Cause
from workers.hardware.launch import Launch
from workers.host.clock.base import Clock
from workers.model.numerics import Numerics
from workers.wire.calls import Pending
from workers.wire.kinds.experts import Combine
from workers.wire.message import Message
from workers.wire.roles import row_width


class Adding:
    """Of one dispatch of so many tokens. A token's first share is kept; what a switch has added
    already comes all at once, and is added no more.
    """

    def __init__(
        self, additions: Additions, numerics: Numerics, num_tokens: int, cause: Cause
    ) -> None:
        self._additions, self._numerics, self._cause = additions, numerics, cause
        self._has_T = np.zeros(num_tokens, dtype=bool)
        self._launches: list[Launch] = []

    def came(self, rows: NDArray[np.intp], pending: Pending[Combine]) -> None:
        """What became of a shard's share."""
        answer = pending.answer
        if not isinstance(answer, Message) or not isinstance(answer.content, Combine):
            return
        is_reduced = not answer.message_id  # it came with those of others, in one sum
        num_added = 0 if is_reduced else int(self._has_T[rows].sum())
        self._has_T[rows] = True
        if num_added:
            num_bytes = num_added * self._numerics.sum_bytes(row_width(answer.content.sums))
            self._launches.append(self._additions.begin(num_bytes, self._cause))

    async def done(self, clock: Clock) -> None:
        """Until all that came is added."""
        for launch in self._launches:
            await launch.certain()
            await clock.wait_until(launch.due_ns)
