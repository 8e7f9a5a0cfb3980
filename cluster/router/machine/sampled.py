"""A token as a chip tells of it. Tuples, since there is one of these a token."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Logprob(NamedTuple):
    """Natural-log probability of the chosen token; top: (token id, logprob), most likely first."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class SampledToken(NamedTuple):
    """One token of one sequence.

    stage           what the chip does for the sequence: "prefill", "decode", or "both"
    position        in the sequence's output, from 0
    num_cached      prompt tokens that were found in a cache
    finish_reason   "" unless it is the last
    times_ns        phase -> emulated nanoseconds so far: of a prefill with its token, else with the
                    last, or with each where a stop string may make any the last
    logits          [V] float32, little-endian, where they were asked for
    approximate     it lacks a share, or follows from one that does
    more            tokens that follow it, sampled before it was told (`workers.fold`)
    late_ns         how long before it was told each of these was sampled, its own first; empty: now
    """

    sequence_id: str
    stage: str
    position: int
    token_id: int
    num_cached: int = 0
    finish_reason: str = ""
    times_ns: Mapping[str, int] | None = None
    logprob: Logprob | None = None
    logits: bytes = b""
    approximate: bool = False
    more: tuple[int, ...] = ()
    late_ns: tuple[int, ...] = ()

    @property
    def token_ids(self) -> tuple[int, ...]:
        return (self.token_id, *self.more)

    def one_by_one(self) -> "Iterator[SampledToken]":
        """The same, each token by itself; what ends a sequence is with the last."""
        last, alone = len(self.more), self._replace(more=(), finish_reason="", times_ns=None)
        for place, token_id in enumerate(self.token_ids):
            late_ns = self.late_ns[place : place + 1]
            yield (self if place == last else alone)._replace(
                position=self.position + place, token_id=token_id, more=(), late_ns=late_ns
            )
