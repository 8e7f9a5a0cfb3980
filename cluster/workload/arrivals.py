"""When requests come: open load as times, closed load as a number of users."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cluster.workload.sessions import Sessions
from cluster.workload.streams import stream
from cluster.workload.traces import UNKNOWN, Trace
from configs.outside import INTEGER_MAX
from configs.schema.trace import TraceArrivals
from configs.schema.workload import (
    Arrivals,
    ClosedArrivals,
    GammaArrivals,
    PoissonArrivals,
)


@dataclass(frozen=True, slots=True)
class Arriving:
    """times_ns      emulated time of each request, ascending, from the start of the run; of a turn
                  that follows another, the soonest
    concurrency   users of a closed loop (all times are 0: each asks when it was answered), or None
    sessions      which requests wait for another's answer; None: none does
    """

    times_ns: tuple[int, ...]
    concurrency: int | None = None
    sessions: Sessions | None = None


def arriving(arrivals: Arrivals, seed: int, trace: Trace | None = None) -> Arriving:
    """Times of all requests; `trace` is the one that `arrivals` names, or else the one that prompts
    come from: then only its sessions count.
    """
    choice = arrivals.chosen
    if isinstance(choice, ClosedArrivals):
        users = min(choice.concurrency, choice.num_requests)
        times_ns = (0,) * choice.num_requests
        return Arriving(times_ns, users, _sessions(trace, times_ns, 1.0))
    if isinstance(choice, TraceArrivals):
        assert trace is not None, choice
        times_ns = _in_clock(np.rint(trace.at_ns / choice.speedup), "raise speedup")
        return Arriving(times_ns, None, _sessions(trace, times_ns, choice.speedup))
    rng = stream(seed, "arrivals")
    if isinstance(choice, PoissonArrivals):
        gaps_s = rng.exponential(1 / choice.rate_per_s, choice.num_requests)
    else:
        assert isinstance(choice, GammaArrivals), choice
        # Mean shape x scale is the mean gap, and cv = 1 / sqrt(shape).
        shape = choice.cv**-2
        scale = 1 / (choice.rate_per_s * shape)
        gaps_s = rng.gamma(shape, scale, choice.num_requests)
    # The first request comes after the first gap, as from users who were there before.
    times_ns = _in_clock(np.rint(np.cumsum(gaps_s) * 1e9), "raise rate_per_s")
    sessions = _sessions(trace, times_ns, 1.0)
    if sessions is not None:
        times_ns = _of_firsts(times_ns, sessions)
        sessions = replace(sessions, times_ns=times_ns)
    return Arriving(times_ns, None, sessions)


def _sessions(trace: Trace | None, times_ns: tuple[int, ...], speedup: float) -> Sessions | None:
    """Of a trace in which some requests follow others."""
    if trace is None or bool((trace.next_turn == UNKNOWN).all()):
        return None
    delays_ns = trace.delays_ns()
    told = delays_ns != UNKNOWN
    delays_ns[told] = np.rint(delays_ns[told] / speedup)
    return Sessions(trace.next_turn.tolist(), delays_ns.tolist(), times_ns)


def _of_firsts(times_ns: tuple[int, ...], sessions: Sessions) -> tuple[int, ...]:
    """Who begins a session comes when a user does; who follows waits for the turn before alone."""
    found = [0] * len(times_ns)
    for index, at_ns in zip(sessions.firsts(), times_ns, strict=False):
        found[index] = at_ns
    return tuple(found)


def _in_clock(times_ns: NDArray[np.float64], remedy: str) -> tuple[int, ...]:
    if times_ns.size and not times_ns[-1] < 2.0**63:
        raise ValueError(
            f"workload.arrivals: the last of {times_ns.size} requests comes after "
            f"{times_ns[-1] / 1e9:.3g} s: the clock ends after {INTEGER_MAX // 10**9}; {remedy}"
        )
    return tuple(times_ns.astype(np.int64).tolist())
