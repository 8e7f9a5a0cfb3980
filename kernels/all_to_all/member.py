"""One rank of an all-to-all over memory that processes share, as its process has it."""

from kernels.all_to_all import arena
from kernels.all_to_all.errors import AttachRefused
from kernels.all_to_all.rank import Rank


class AllToAll(Rank):
    """A rank and its arena.

    geometry  the same for all ranks
    rank      this one, 0 .. world - 1
    secret    the cluster's, at least 16 bytes: who has another cannot attach
    epoch     counts incarnations of this rank, 1 .. 2^24 - 1: a later one has a larger one
    spin_ns   how long a wait looks before it sleeps; None: 20 us, and 0 while more ranks are
              attached than there are processors that they may run on

    `dispatch_send` and `combine_receive` are for one thread at a time, `dispatch_receive` and
    `combine_send` for one as well, which may be another. Waits let other threads run, and no call
    waits longer than its timeout. Raises ValueError on bad arguments, MemoryError or OSError where
    there is no memory, RuntimeError without the native library.
    """

    @property
    def address(self) -> str:
        """Where another process finds this rank's arena."""
        return self._place

    def attach(self, address: str) -> int:
        """Map another rank's arena; returns its rank. A later epoch takes an earlier one's place.

        Raises AttachRefused where the address leads to no arena of this cluster and geometry, or to
        a rank whose predecessor still lives.
        """
        with arena.reached(address, self.geometry, self._secret) as there:
            identity = there.identity
            try:
                self._lib.a2a_attach(
                    self._stored, identity.rank, identity.epoch, there.file, there.process,
                    there.pipe,
                )  # fmt: skip
            except ValueError as error:
                raise AttachRefused(f"{address}: {error}") from error
        self._cpus[identity.rank] = identity.cpus
        self._spin_ns = self._spin()
        return identity.rank
