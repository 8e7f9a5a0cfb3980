"""How late the messages are that one latency fault hits: fresh draws, those that remember the one
before, and a recording.

What is remembered is a link's own, and its sender's: nodes share nothing.
"""

from collections import defaultdict
from collections.abc import Callable

from cluster.faults.distributions import (
    Correlated,
    Distribution,
    LogNormal,
    Normal,
    Pareto,
    Uniform,
    drawn_ns,
)
from cluster.faults.replay import read_delays
from configs.schema.delays import LatencyAttributes

# Node -> node.
Link = tuple[str, str]


class Delays:
    """`next_ns` is asked once for each message that is hit, in the order of sending."""

    def __init__(self, attributes: LatencyAttributes) -> None:
        self._latency_ns = attributes.latency_ns or 0
        self._distribution = distribution_of(attributes)
        self._recording: tuple[int, ...] = ()
        if attributes.distribution == "replay":
            self._recording = attributes.delays_ns or read_delays(attributes.path or "")
        self._num_replayed: dict[Link, int] = defaultdict(int)
        self._correlation = attributes.correlation or 0.0
        self._correlated: dict[Link, Correlated] = {}

    def next_ns(self, link: Link, share: Callable[[], float]) -> int:
        """share   a number in [0, 1) that is the message's own"""
        if self._recording:
            number = self._num_replayed[link]
            self._num_replayed[link] = number + 1
            return self._latency_ns + self._recording[number % len(self._recording)]
        if self._distribution is None:
            return self._latency_ns
        return drawn_ns(self._latency_ns, self._distribution, self._share(link, share()))

    def _share(self, link: Link, fresh: float) -> float:
        if not self._correlation:
            return fresh
        correlated = self._correlated.get(link)
        if correlated is None:
            correlated = self._correlated[link] = Correlated(self._correlation)
        return correlated.share(fresh)


def distribution_of(attributes: LatencyAttributes) -> Distribution | None:
    """None: nothing is drawn."""
    match attributes.distribution:
        case "uniform" if attributes.jitter_ns:
            return Uniform(attributes.jitter_ns)
        case "normal" if attributes.jitter_ns:
            return Normal(attributes.jitter_ns)
        case "lognormal":
            return LogNormal(attributes.median_ns or 0, attributes.sigma or 0.0)
        case "pareto":
            return Pareto(attributes.scale_ns or 0, attributes.alpha or 1.0)
    return None
