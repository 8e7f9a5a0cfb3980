"""Tokens to the ranks that own their experts, and sums back, over memory that processes share, or
over UCX (`UcxAllToAll`) where they share none.

    ranks = AllToAll(geometry, rank, secret)            # in each process
    ranks.attach(address)                               # of every other rank: its `address`

    handle = ranks.dispatch_send(tokens, owners_E, timeout_ns)
    for arrived in ranks.dispatch_receive(timeout_ns):  # where the experts are
        ranks.combine_send(arrived, moe.forward(experts, arrived.rows, ...))
    sums_TH = ranks.combine_receive(handle, timeout_ns)

A handle stands for tokens that are away, so two micro-batches overlap: at most two dispatches
between the same two ranks are open. A token travels once to each rank, is read where it lies, and
comes back as one sum of that rank's experts; sums add in the order of ranks, so no bit depends on
who answered first. Ranks need not be alike: one may only dispatch, another only compute.

A rank that dies ends every wait for it with RankDead; its next incarnation attaches under a later
epoch. Letters: T tokens, H hidden, K experts a token, E experts, N tokens that came.
"""

from kernels.all_to_all.arrived import Arrived
from kernels.all_to_all.errors import (
    AllToAllError,
    AttachRefused,
    RankCutOff,
    RankDead,
    RankLate,
    RankLost,
    RankRefused,
    TimedOut,
)
from kernels.all_to_all.geometry import Geometry
from kernels.all_to_all.handle import Combined, Handle, Missing
from kernels.all_to_all.member import AllToAll
from kernels.all_to_all.tokens import Tokens
from kernels.all_to_all.ucx import UcxAllToAll
from kernels.all_to_all.watched import WatchedAllToAll

__all__ = [
    "AllToAll",
    "AllToAllError",
    "Arrived",
    "AttachRefused",
    "Combined",
    "Geometry",
    "Handle",
    "Missing",
    "RankCutOff",
    "RankDead",
    "RankLate",
    "RankLost",
    "RankRefused",
    "TimedOut",
    "Tokens",
    "UcxAllToAll",
    "WatchedAllToAll",
]
