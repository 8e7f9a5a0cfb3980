"""When requests come: open load as times, closed load as a number of users."""

from dataclasses import dataclass

import numpy as np

from cluster.workload.streams import stream
from cluster.workload.traces import TraceEntry
from configs.outside import INTEGER_MAX
from configs.schema.workload import (
    Arrivals,
    ClosedArrivals,
    GammaArrivals,
    PoissonArrivals,
    TraceArrivals,
)


@dataclass(frozen=True, slots=True)
class Arriving:
    """times_ns      emulated time of each request, ascending, from the start of the run
    concurrency   users of a closed loop (all times are 0: each asks when it was answered), or None
    """

    times_ns: tuple[int, ...]
    concurrency: int | None = None


def arriving(arrivals: Arrivals, seed: int, trace: tuple[TraceEntry, ...]) -> Arriving:
    """Times of all requests; `trace` is the one that `arrivals` names, or empty."""
    choice = arrivals.chosen
    if isinstance(choice, ClosedArrivals):
        users = min(choice.concurrency, choice.num_requests)
        return Arriving((0,) * choice.num_requests, users)
    if isinstance(choice, TraceArrivals):
        return Arriving(tuple(round(entry.at_ns / choice.speedup) for entry in trace))
    rng = stream(seed, "arrivals")
    if isinstance(choice, PoissonArrivals):
        return Arriving(_times(rng.exponential(1 / choice.rate_per_s, choice.num_requests)))
    assert isinstance(choice, GammaArrivals), choice
    # Mean shape x scale is the mean gap, and cv = 1 / sqrt(shape).
    shape = choice.cv**-2
    scale = 1 / (choice.rate_per_s * shape)
    return Arriving(_times(rng.gamma(shape, scale, choice.num_requests)))


def _times(gaps_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[int, ...]:
    """The first request comes after the first gap, as from users who were there before."""
    times_ns = np.rint(np.cumsum(gaps_s) * 1e9)
    if times_ns.size and not times_ns[-1] <= INTEGER_MAX:
        raise ValueError(
            f"workload.arrivals: the last of {times_ns.size} requests comes after "
            f"{times_ns[-1] / 1e9:.3g} s: the clock ends after {INTEGER_MAX // 10**9}; raise "
            "rate_per_s"
        )
    return tuple(int(t) for t in times_ns)
