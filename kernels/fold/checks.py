"""What both engines check of what they are given, before anything happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.fold.terms import NOBODY, Chosen, Drawn, Terms, Times

NODES_MAX = 1 << 16
EXPERTS_MAX = 65_535
NS_MAX = 1 << 61  # 73 years
LAUNCH_NS_MAX = 1 << 50  # 13 days
RATE_MAX = 10**15
BYTES_MAX = 1 << 24  # of a row, or of what a message has beside its rows
TOKENS_MAX = 1 << 20  # of a chip's step
MESSAGE_NS_MAX = 1 << 44  # 5 hours: so no sum of times runs over
STRETCH_MAX = 1 << 16  # steps


@dataclass(frozen=True)
class Group:
    """Chips beside shards, checked.

    owners_E   shard of each expert     held_S   how many each owns
    """

    num_chips: int
    num_shards: int
    owners_E: NDArray[np.int32]
    held_S: NDArray[np.int64]
    terms: Terms
    exchanges: int
    slow_S: tuple[float, ...]

    @classmethod
    def of(
        cls,
        num_chips: int,
        owners_E: Sequence[int] | NDArray[Any],
        terms: Terms,
        exchanges: int,
        slow_S: Sequence[float] | None,
        num_shards: int | None,
    ) -> "Group":
        owners = np.array(owners_E, dtype=np.int32)
        if owners.ndim != 1 or not 1 <= owners.size <= EXPERTS_MAX:
            raise ValueError(
                f"owners_E has shape {owners.shape}; it names a shard for each of 1 to "
                f"{EXPERTS_MAX} experts"
            )
        shards = int(owners.max()) + 1 if num_shards is None else num_shards
        _within("num_chips", num_chips, 1, NODES_MAX)
        _within("num_shards", shards, 1, NODES_MAX)
        _within("exchanges", exchanges, 0, NODES_MAX)
        if owners.min() < 0 or owners.max() >= shards:
            strange = int(owners.min() if owners.min() < 0 else owners.max())
            raise ValueError(f"owners_E names shard {strange}; there are {shards}")
        held = np.bincount(owners, minlength=shards)
        _check_terms(terms, int(held.max()))
        slow = (1.0,) * shards if slow_S is None else tuple(map(float, slow_S))
        if len(slow) != shards:
            raise ValueError(f"slow_S has {len(slow)} factors; there are {shards} shards")
        if strange_factors := [factor for factor in slow if not 1e-3 <= factor <= 1e6]:
            raise ValueError(f"slow_S has {strange_factors[0]}; factors are from 0.001 to 1e6")
        return cls(num_chips, shards, owners, held, terms, exchanges, slow)

    def launch_ns(self, shard: int, rows: int, choices: int, distinct: int) -> int:
        """Of a batch at a shard: one that is slow takes the factor, rounded up."""
        took_ns, slow = self.terms.launch_ns(rows, choices, distinct), self.slow_S[shard]
        if slow != 1.0:
            took_ns = -int(-took_ns * slow // 1)
        if took_ns > LAUNCH_NS_MAX:
            raise ValueError("a shard's launch takes longer than 2^50 ns, 13 days")
        return took_ns

    def check_tokens(self, tokens: int) -> None:
        _within("tokens", tokens, 0, TOKENS_MAX)
        terms = self.terms
        num_bytes = max(terms.dispatch.of(tokens), terms.combine.of(tokens))
        rate = min(terms.chip_link.bytes_per_s, terms.shard_link.bytes_per_s)
        if num_bytes * 1e9 / rate > MESSAGE_NS_MAX:
            raise ValueError(
                f"a message of {num_bytes} bytes takes longer than 2^44 ns, 5 hours, at {rate} "
                "bytes a second"
            )

    def checked_chip(self, chip: int) -> int:
        _within("chip", chip, 0, self.num_chips - 1)
        return chip


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must be from {least} to {most}")


def _check_terms(terms: Terms, held: int) -> None:
    for name, link in (("chip_link", terms.chip_link), ("shard_link", terms.shard_link)):
        _within(f"{name}.bytes_per_s", link.bytes_per_s, 1, RATE_MAX)
        _within(f"{name}.latency_ns", link.latency_ns, 0, LAUNCH_NS_MAX)
        _within(f"{name}.startup_ns", link.startup_ns, 0, LAUNCH_NS_MAX)
        if not terms.path_ns + link.startup_ns:
            raise ValueError(
                f"{name} has no latency, nor has the other end's link: what is sent would be there "
                "at the same instant, and who is first not certain; 1 ns is enough"
            )
    for name, size in (("dispatch", terms.dispatch), ("combine", terms.combine)):
        _within(f"{name}.fixed", size.fixed, 0, BYTES_MAX)
        _within(f"{name}.row", size.row, 1, BYTES_MAX)
    _within("overhead_ns", terms.overhead_ns, 0, LAUNCH_NS_MAX)
    if len(terms.reads_ns) <= held:
        raise ValueError(
            f"reads_ns has {len(terms.reads_ns)} entries; a shard owns {held} experts, so a batch "
            f"may meet 0 to {held} of them: {held + 1} entries"
        )
    for took_ns in terms.reads_ns:
        _within("reads_ns", took_ns, 0, LAUNCH_NS_MAX)
    for term in terms.computes:
        if term.of not in ("rows", "choices"):
            raise ValueError(f"a term is of {term.of!r}; it is of 'rows' or of 'choices'")
        _within("amount", term.amount, 0, 1 << 53)
        if not 1 <= term.rate_per_s <= 1e24:
            raise ValueError(f"rate_per_s is {term.rate_per_s}; it must be from 1 to 1e24")


def checked_pool(group: Group, experts_XPK: NDArray[np.int32]) -> NDArray[np.int32]:
    if experts_XPK.ndim != 3 or not experts_XPK.size:
        raise ValueError(f"a pool has shape {experts_XPK.shape}; it must be [X, P, K]")
    if experts_XPK.shape[0] not in (1, group.exchanges):
        raise ValueError(
            f"a pool is of {experts_XPK.shape[0]} exchanges; it must be of {group.exchanges}, or "
            "of 1 for all"
        )
    _check_experts(group, experts_XPK)
    return np.ascontiguousarray(experts_XPK, dtype=np.int32)


def _check_experts(group: Group, experts: NDArray[np.int32]) -> None:
    """[..., K]"""
    known = len(group.owners_E)
    if experts.size and (experts.min() < NOBODY or experts.max() >= known):
        strange = experts[(experts < NOBODY) | (experts >= known)]
        raise ValueError(f"choices name expert {int(strange[0])}; there are {known}")
    sorted_K = np.sort(experts, axis=-1)
    twice = (sorted_K[..., 1:] == sorted_K[..., :-1]) & (sorted_K[..., 1:] != NOBODY)
    if twice.any():
        raise ValueError(f"a token chooses expert {int(sorted_K[..., 1:][twice][0])} twice")


def checked_stretch(
    group: Group,
    launches_ns: Times,
    choices: Chosen | Drawn,
    pools: Sequence[Any],
) -> Times:
    """launches_ns, [steps, X + 1] int64."""
    launches_ns = np.ascontiguousarray(launches_ns, dtype=np.int64)
    expected = f"[steps, {group.exchanges + 1}]"
    if launches_ns.ndim != 2 or launches_ns.shape[1] != group.exchanges + 1:
        raise ValueError(f"launches_ns has shape {launches_ns.shape}; it must be {expected}")
    steps = len(launches_ns)
    _within("steps", steps, 1, STRETCH_MAX)
    if launches_ns.min() < 0 or launches_ns.max() > LAUNCH_NS_MAX:
        strange = launches_ns[(launches_ns < 0) | (launches_ns > LAUNCH_NS_MAX)]
        raise ValueError(f"launches_ns has {int(strange[0])}; it is 0 to {LAUNCH_NS_MAX}")
    if isinstance(choices, Drawn):
        _within("pool", choices.pool, 0, len(pools) - 1)
        group.check_tokens(choices.tokens)
        _within("first_step", choices.first_step, 0, 1 << 60)
        return launches_ns
    shape = choices.experts.shape
    if len(shape) != 4 or shape[:2] != (steps, group.exchanges):
        raise ValueError(
            f"experts have shape {shape}; they must be [{steps}, {group.exchanges}, T, K]"
        )
    group.check_tokens(shape[2])
    _check_experts(group, choices.experts)
    return launches_ns
