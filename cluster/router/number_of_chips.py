"""Chips that a router's cluster gets and gives up while it serves."""

from collections.abc import Sequence

from cluster.router.incarnations import living
from cluster.router.ledger import Ledger
from cluster.router.machine.chips import ChipState
from cluster.router.machine.events import ChipJoined
from cluster.router.machine.scaling_events import (
    ChipAdded,
    ChipDrainBegan,
    ChipDrainEnded,
    ChipRemoved,
)
from workers.node import Node


class NumberOfChips:
    """What is asked twice is done once: whoever asks may not have heard the first answer."""

    def __init__(self, node: Node, ledger: Ledger) -> None:
        self._node, self._ledger = node, ledger

    def become(self, chips: Sequence[ChipState]) -> None:
        """The cluster has these. Those that are new are given work when their nodes have joined,
        those that drained are given work again.

        Raises ImpossibleEvent for one that is none of these and has not ended what it has.
        """
        for name in self.add(chips):
            self._joined(name)
        for chip in chips:
            if self._ledger.state.chips[chip.name].is_draining:
                self._ledger.happened(ChipDrainEnded(self._node.clock.now(), chip.name))
        self.remove_others(chips)

    def add(self, chips: Sequence[ChipState]) -> list[str]:
        """Those of these that are not there yet; nobody has joined as one of them so far."""
        added = []
        for chip in chips:
            if chip.name not in self._ledger.state.chips:
                now_ns, how = self._node.clock.now(), (chip.watermark_blocks, chip.gives_away)
                event = ChipAdded(now_ns, chip.name, chip.role, chip.num_blocks, *how)
                self._ledger.happened(event)
                added.append(chip.name)
        return added

    def _joined(self, chip: str) -> None:
        """Its nodes may have been met already; else it joins when they are."""
        epoch = living(self._node.members, chip)
        if epoch is not None:
            self._ledger.happened(ChipJoined(self._node.clock.now(), chip, epoch))

    def remove_others(self, chips: Sequence[ChipState]) -> None:
        """All that are none of these. Raises ImpossibleEvent."""
        staying = {chip.name for chip in chips}
        for name in [name for name in self._ledger.state.chips if name not in staying]:
            self.drain([name])
            self._ledger.happened(ChipRemoved(self._node.clock.now(), name))

    def drain(self, chips: Sequence[str]) -> list[str]:
        """Give these nothing new from now on; those that have not ended yet what they have."""
        state = self._ledger.state
        known = [name for name in chips if name in state.chips]
        for name in known:
            if not state.chips[name].is_draining:
                self._ledger.happened(ChipDrainBegan(self._node.clock.now(), name))
        return [name for name in known if not state.is_done(name)]
