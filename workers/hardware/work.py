"""Work is declared, never guessed: what a kernel launch asks of the machine's resources, by name.

A resource is an entry of the device's specification: an engine's arithmetic in one dtype
("compute.bf16"), a memory tier in one direction ("hbm.read"), or one of its own ("planes"). Whoever
declares work names what it needs and never learns how that is shared.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from configs.schema.device import MAIN_ENGINE

_NOTHING: Mapping[str, int] = {}


class Demand(NamedTuple):
    """What is asked of one resource.

    amount      operations (a multiply-add counts two), bytes, or the resource's own unit
    accesses    separate accesses of equal size that the amount is made of; each moves whole pages
    in_flight   pages on their way at once; None: as many as the resource's queue is deep
    pages       where each access begins, on a tier with banks: numbers of pages, which lie over its
                channels, banks and planes in turn. None: anywhere, drawn at random
    ahead       what is read follows what was read `ahead` before, in an order that is known: a tier
                with a buffer reads it before it is asked for (`ahead`)
    """

    resource: str
    amount: int
    accesses: int = 1
    in_flight: int | None = None
    pages: Sequence[int] | None = None
    ahead: bool = False


class Work(NamedTuple):
    """What one kernel launch asks of a machine.

    name      what it is, for traces: "attention", "experts", "logits", "search"
    demands   all begin together; the work is done when the last of them is
    times     so many launches like this one, each when the one before has ended
    host_size   scalar operations for which it holds the machine that emulates, where its demands do
                not say so; 0: it hardly does
    """

    name: str
    demands: tuple[Demand, ...] = ()
    host_size: int = 0
    times: int = 1

    @classmethod
    def of(
        cls,
        name: str,
        *,
        flops: Mapping[str, int] = _NOTHING,
        reads: Mapping[str, int] = _NOTHING,
        writes: Mapping[str, int] = _NOTHING,
    ) -> "Work":
        """The common case: operations of the main engine by dtype, bytes by memory tier, each in
        one access.
        """
        demands: list[Demand] = []
        for dtype, amount in flops.items():
            demands.append(Demand(f"compute.{dtype}", amount))
        for tier, amount in reads.items():
            demands.append(Demand(f"{tier}.read", amount))
        for tier, amount in writes.items():
            demands.append(Demand(f"{tier}.write", amount))
        return cls(name, tuple(demands))

    def on(self, engine: str) -> "Work":
        """The same, its arithmetic done by another engine than the main one."""
        if engine == MAIN_ENGINE:
            return self
        demands = [
            one._replace(resource=engine + one.resource.removeprefix(MAIN_ENGINE))
            if one.resource.partition(".")[0] == MAIN_ENGINE
            else one
            for one in self.demands
        ]
        return self._replace(demands=tuple(demands))

    def amounts(self) -> dict[str, int]:
        """Resource -> how much of it is asked for in all."""
        amounts: dict[str, int] = {}
        for demand in self.demands:
            amounts[demand.resource] = amounts.get(demand.resource, 0) + demand.amount * self.times
        return amounts
