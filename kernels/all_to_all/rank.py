"""What a rank does, however it reaches the others."""

import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.all_to_all import arena
from kernels.all_to_all.arrived import Arrived, Regions
from kernels.all_to_all.errors import LOST, OUTCOME, TimedOut, time_left
from kernels.all_to_all.geometry import Geometry, library
from kernels.all_to_all.handle import Combined, Handle, Missing
from kernels.all_to_all.tokens import Tokens

# How long a rank looks before it sleeps. A message of a few KiB is there within some us, and a
# sleeper takes 5 to 50 us to wake: longer than that is not won back.
SPIN_NS = 20_000
# Whose answers make a sum.
_ALL, _LIVING, _PUNCTUAL = range(3)


class Rank:
    """One rank: its arena, and what it sends and receives. `AllToAll` and `UcxAllToAll` say how it
    is made, and how others are attached.

    `dispatch_send` and `combine_receive` are for one thread at a time, `dispatch_receive` and
    `combine_send` for one as well, which may be another. Waits let other threads run, and no call
    waits longer than its timeout.
    """

    # How long it looks before it sleeps, where there are processors for all.
    looks_ns = SPIN_NS
    # Written to by who wants to wake this rank's event loop, where it has one.
    pipe = arena.NO_PIPE

    def __init__(
        self,
        geometry: Geometry,
        rank: int,
        secret: bytes,
        epoch: int = 1,
        spin_ns: int | None = None,
    ) -> None:
        if not 0 <= rank < geometry.world:
            raise ValueError(f"rank is {rank}; it must be from 0 to {geometry.world - 1}")
        if not 1 <= epoch <= arena.EPOCH_MAX:
            raise ValueError(f"epoch is {epoch}; it must be from 1 to {arena.EPOCH_MAX}")
        if len(secret) < arena.SECRET_BYTES_MIN:
            raise ValueError(
                f"secret has {len(secret)} bytes; it must have at least {arena.SECRET_BYTES_MIN}"
            )
        if spin_ns is not None and not 0 <= spin_ns <= 1_000_000_000:
            raise ValueError(f"spin_ns is {spin_ns}; it must be from 0 to 1000000000")
        self.geometry, self.rank, self.epoch = geometry, rank, epoch
        self._lib, self._secret, self._spin_chosen_ns = library(), secret, spin_ns
        file, self._place = arena.create(geometry, rank, epoch, secret, self.pipe)
        self._close_file = weakref.finalize(self, os.close, file)
        self._regions = Regions(geometry, arena.mapped(file, geometry))
        self._stored = self._lib.a2a_create(geometry.numbers(), rank, epoch, file, self.pipe)
        self._cpus = {rank: frozenset(os.sched_getaffinity(0))}
        # By rank, what came of it: for a sum that goes without some.
        self._lost = np.zeros(geometry.world, np.int64)
        self._named: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._spin_ns = self._spin()

    @property
    def spin_ns(self) -> int:
        """How long waits look before they sleep."""
        return self._spin_ns

    def _spin(self) -> int:
        if self._spin_chosen_ns is not None:
            return self._spin_chosen_ns
        processors = frozenset[int]().union(*self._cpus.values())
        return self.looks_ns if len(self._cpus) <= len(processors) else 0

    def mark_dead(self, rank: int) -> None:
        """Listen to it no more: whoever waits for it hears so. Its next epoch may attach."""
        self._lib.a2a_mark_dead(self._stored, rank)
        self._cpus.pop(rank, None)

    def alive(self) -> tuple[int, ...]:
        """Ranks that are attached and live, this one among them: the mask for `sources`."""
        return tuple(
            rank
            for rank in range(self.geometry.world)
            if self._lib.a2a_life(self._stored, rank) == 0
        )

    def close(self) -> None:
        """Others hear that this rank is dead; views of what came stay as they are."""
        self._lib.a2a_close(self._stored)
        self._close_file()

    def dispatch_send(
        self,
        tokens: Tokens,
        owners_E: NDArray[np.int32],
        timeout_ns: int,
        tag: int = 0,
        everyone: bool = False,
    ) -> Handle:
        """Send each token once to each rank that owns one of its experts. All is copied.

        owners_E  [num_experts + 1] the rank that owns each expert, and at the end -1: none
        tag       goes along: which layer
        everyone  ranks that live get a message even where no token is for them, for receivers
                  that wait for all

        At most two dispatches to a rank may be open. Where an answer that was dropped is still to
        come this waits. Raises ValueError, before anything is sent, where a token names an expert
        or rank that is not there, where more than `capacity` tokens go to a rank or two dispatches
        are open; TimedOut where there was no room in time, and nothing is sent. Tokens of a dead
        rank are missing when it comes to `combine_receive`.
        """
        left_ns = timeout_ns
        while True:
            flight = self._lib.a2a_dispatch_send(
                self._stored, owners_E, tokens.requests_T, tokens.positions_T, tokens.experts_TK,
                tokens.weights_TK, tokens.hidden_TH, tag, everyone, self._spin_ns, left_ns,
            )  # fmt: skip
            if not isinstance(flight, int):
                return Handle(flight, len(tokens.hidden_TH))
            if (left_ns := time_left(flight, left_ns)) <= 0:
                raise TimedOut(f"no room for a dispatch of tag {tag} within {timeout_ns} ns")

    def dispatch_receive(self, timeout_ns: int, sources: tuple[int, ...] = ()) -> list[Arrived]:
        """What has come: one dispatch of each of `sources` in their order; where none is named, all
        that waits of anybody, at least one. Rows are views of the arena, and stay until their
        answer is sent.

        Raises RankDead or RankCutOff where one of `sources` will send nothing more, and where
        anybody wrote nonsense (once); TimedOut where it has not come in time, and nothing is taken.
        """
        regions = self._regions
        if (named := self._named.get(sources)) is None:
            named = self._named.setdefault(sources, np.array(sources, np.int64))
        left_ns = timeout_ns
        while True:
            count = self._lib.a2a_dispatch_receive(
                self._stored, named, regions.found, regions.experts, self._spin_ns, left_ns
            )  # fmt: skip
            if count < OUTCOME:
                return regions.arrived(count)
            if (left_ns := time_left(count, left_ns)) <= 0:
                whom = f"all of ranks {sources}" if sources else "anybody"
                raise TimedOut(f"no dispatch of {whom} within {timeout_ns} ns")

    def combine_send(self, arrived: Arrived, sums_NH: NDArray[Any] | None) -> bool:
        """Answer a dispatch with its partial sums, one row for each of its tokens, in order; None
        refuses it. Its rows are the sender's again. False: the sender is dead.

        sums_NH  float32 (float64 where sums travel as fp64), rounded here; or as they travel

        Raises ValueError where it was answered before, or has another number of rows.
        """
        given: int = self._lib.a2a_combine_send(
            self._stored, arrived.source, arrived.epoch, arrived.round, sums_NH
        )
        return given < OUTCOME

    def combine_receive(
        self, handle: Handle, timeout_ns: int, sums_TH: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Sums of all answers in the order of ranks, [T, H] float64 (fp64) or float32, into
        `sums_TH` where given, which may be float64 where sums travel as bf16.

        Raises RankLost (RankDead, RankCutOff, RankRefused) where one will not come; what others
        answered is then had by `combine_receive_partial`. TimedOut: may be tried again.
        """
        if sums_TH is None:
            sums_TH = self._empty(handle)
        self._receive(handle, timeout_ns, sums_TH, _ALL)
        return sums_TH

    def combine_receive_partial(
        self,
        handle: Handle,
        timeout_ns: int,
        give_up: bool = False,
        sums_TH: NDArray[Any] | None = None,
    ) -> Combined:
        """The same, without the ranks that are lost: the tokens that miss a part are named.

        give_up   a rank that has not answered in time is lost as well (RankLate)
        """
        if sums_TH is None:
            sums_TH = self._empty(handle)
        try:
            self._receive(handle, timeout_ns, sums_TH, _LIVING)
        except TimedOut:
            if not give_up:
                raise
            self._receive(handle, 0, sums_TH, _PUNCTUAL)
        missing = tuple(
            Missing(rank, handle.tokens_of(rank), LOST[outcome](rank))
            for rank, outcome in enumerate(self._lost.tolist())
            if outcome
        )
        return Combined(sums_TH, missing)

    def drop(self, handle: Handle) -> None:
        """Nobody will receive it; letting go of the handle does the same."""
        self._lib.a2a_drop(self._stored, handle.stored)

    def _empty(self, handle: Handle) -> NDArray[Any]:
        return np.empty((handle.num_tokens, self.geometry.hidden), self.geometry.sums_dtype)

    def _receive(self, handle: Handle, timeout_ns: int, sums_TH: NDArray[Any], whole: int) -> None:
        left_ns = timeout_ns
        while True:
            found = self._lib.a2a_combine_receive(
                self._stored, handle.stored, sums_TH, self._lost, whole, self._spin_ns, left_ns
            )
            if found < OUTCOME:
                return
            if (left_ns := time_left(found, left_ns)) <= 0:
                raise TimedOut(f"not all answers of a dispatch within {timeout_ns} ns")
