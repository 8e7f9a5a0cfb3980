"""A rank whose waits are an event loop's."""

import os
import weakref

from kernels.all_to_all.geometry import Geometry
from kernels.all_to_all.handle import Handle
from kernels.all_to_all.member import AllToAll

_MANY = 1 << 16


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


class WatchedAllToAll(AllToAll):
    """The same rank for a loop that may not wait in a call: its calls are given a timeout of 0, and
    where they have nothing, `await_work` and `await_answers` ask others to ring.

    bell   a file that is readable once they have; whoever watches it calls `heard`, and looks again
    """

    def __init__(
        self, geometry: Geometry, rank: int, secret: bytes, epoch: int = 1, spin_ns: int = 0
    ) -> None:
        self.bell, self.pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._close_pipe = weakref.finalize(self, _close, self.bell, self.pipe)
        super().__init__(geometry, rank, secret, epoch, spin_ns)

    def await_work(self) -> bool:
        """Whether nothing is there for `dispatch_receive`: then the next to send rings."""
        return bool(self._lib.a2a_await_work(self._stored))

    def await_answers(self, handle: Handle) -> int:
        """How many ranks are still to answer a dispatch; 0 where `combine_receive_partial` waits no
        more. Else that many answers ring, of this dispatch or another; of two dispatches that one
        waits for at once, what is said of the second is what rings.

        Raises ValueError where it was received or dropped before.
        """
        waiting: int = self._lib.a2a_await_answers(self._stored, handle.stored)
        return waiting

    def heard(self) -> None:
        """Take what was written to the pipe."""
        try:
            os.read(self.bell, _MANY)
        except BlockingIOError:
            return

    def close(self) -> None:
        super().close()
        self._close_pipe()
