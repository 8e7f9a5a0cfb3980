"""The hands of faults: what a world can do to one of its nodes."""

from typing import Protocol

from cluster.faults.spells import Spell


class Actuator(Protocol):
    """Of one world. A node that is dead is done nothing to; who does something for a while asks
    `epoch` first, and takes it back from that incarnation alone. What two do at once adds up.
    """

    def epoch(self, node: str) -> int | None:
        """Which incarnation lives; None: none does."""
        ...

    async def crash(self, node: str) -> None:
        """It dies without a word."""
        ...

    async def restart(self, node: str) -> None:
        """Its next incarnation joins."""
        ...

    async def pause(self, node: str) -> None:
        """Its programs stand still."""
        ...

    async def resume(self, node: str) -> None:
        """They go on, unless another one keeps them."""
        ...


class Insides(Protocol):
    """What a world can do inside a node, beyond what any process can be sent; as `Actuator`."""

    async def begin(self, node: str, spell: Spell) -> None:
        """It is slow, short of memory, or its clock wrong."""
        ...

    async def end(self, node: str, spell: Spell) -> None:
        """Take one such spell back."""
        ...

    async def page_error(self, node: str, share: float) -> str:
        """One bit of a stored KV block changes; `share` in [0, 1) says which. Returns the block's
        key; "" where none is stored.
        """
        ...

    async def wear_out(self, node: str, share: float, draw: float) -> int:
        """This share of its flash blocks reaches the end of its life, `draw` in [0, 1) says which,
        and stays so over its incarnations. Returns how many; 0 where it has no flash.
        """
        ...

    async def fill_disk(self, node: str) -> None:
        """Nothing more fits on its disk, whichever incarnation it is of."""
        ...

    async def empty_disk(self, node: str) -> None:
        """Take one `fill_disk` back."""
        ...
