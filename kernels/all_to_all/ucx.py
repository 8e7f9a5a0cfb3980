"""One rank of an all-to-all whose others share no memory with it: the same layout over UCX."""

import os

import numpy as np

from kernels.all_to_all import card
from kernels.all_to_all.errors import AttachRefused
from kernels.all_to_all.geometry import Geometry
from kernels.all_to_all.rank import Rank
from kernels.native import ucx

_SETTINGS = {
    # Receives are always posted, so what comes needs no place to wait; longer ones are fetched from
    # the sender's memory, where that can be done.
    "RNDV_THRESH": "256k",
    "MEMTYPE_CACHE": "n",  # no GPU takes part
    # Who ends without a word is noticed: over shared memory nothing else would tell.
    "MM_ERROR_HANDLING": "y",
    "KEEPALIVE_INTERVAL": "1s",
}
_ADDRESS_BYTES_MAX = 1 << 16


class UcxAllToAll(Rank):
    """A rank that UCX connects with the others, in any process, network namespace or machine.

    geometry    the same for all ranks
    rank        this one, 0 .. world - 1
    secret      the cluster's, at least 16 bytes: who has another cannot attach, nor be heard
    epoch       counts incarnations of this rank, 1 .. 2^24 - 1: a later one has a larger one
    spin_ns     how long a wait looks before it sleeps; None: 100 us, and 0 while more ranks of this
                machine are attached than there are processors that they may run on
    transports  what UCX may use, as it calls them, separated by commas: `tcp`; `posix,cma,self`
                between processes of one machine; `all`, RDMA too

    Messages are neither encrypted nor signed, only their addresses are: for a network that the
    cluster has for itself. Raises ValueError on bad arguments, MemoryError or OSError where there
    is no memory, RuntimeError without the native library or without UCX.
    """

    # The kernel's sockets alone take some 30 us from one to the other.
    looks_ns = 100_000

    def __init__(
        self,
        geometry: Geometry,
        rank: int,
        secret: bytes,
        epoch: int = 1,
        spin_ns: int | None = None,
        transports: str = "tcp",
    ) -> None:
        if not (library := ucx.load()):
            raise RuntimeError("this all-to-all needs UCX: pip install 'perfuse[ucx]'")
        super().__init__(geometry, rank, secret, epoch, spin_ns)
        nonce = os.urandom(card.NONCE_BYTES)
        settings = "\n".join(
            f"{name}={value}" for name, value in ({"TLS": transports} | _SETTINGS).items()
        )
        try:
            token = card.token_of(nonce, secret)
            self._lib.a2a_open_wire(self._stored, library, settings, token)
        except ValueError as error:
            self.close()
            raise RuntimeError(f"this all-to-all needs UCX: {error}") from error
        found = np.zeros(_ADDRESS_BYTES_MAX, np.uint8)
        length = self._lib.a2a_wire_address(self._stored, found)
        self._machine = card.this_machine()
        mine = card.Card(
            rank, epoch, nonce, self._machine, self._cpus[rank], found[:length].tobytes()
        )
        self.address = card.written(mine, geometry, secret)

    def attach(self, address: bytes) -> int:
        """Connect with another rank; returns its rank. A later epoch takes an earlier one's place.

        It does not wait for the other, whose calls make the connection whole; whoever waits for one
        that is gone finds it dead. Raises AttachRefused where the address is of no rank of this
        cluster and geometry, of one whose predecessor still lives, or where nobody answers.
        """
        there = card.read(address, self.geometry, self._secret)
        try:
            self._lib.a2a_attach_far(
                self._stored, there.rank, there.epoch, card.token_of(there.nonce, self._secret),
                np.frombuffer(there.address, np.uint8),
            )  # fmt: skip
        except ValueError as error:
            raise AttachRefused(f"rank {there.rank}: {error}") from error
        if there.machine == self._machine:
            self._cpus[there.rank] = there.cpus
        self._spin_ns = self._spin()
        return there.rank
