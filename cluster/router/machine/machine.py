"""The machine: one state, and `apply(event) -> actions`."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.router.machine import events as of
from cluster.router.machine import generating, life, peers, room, scaling, shelf, watching
from cluster.router.machine import scaling_events as of_scaling
from cluster.router.machine import store_events as of_store
from cluster.router.machine import watch_events as of_watch
from cluster.router.machine.actions import Action
from cluster.router.machine.events import Event
from cluster.router.machine.state import RouterState
from cluster.router.machine.text import Texts
from cluster.router.machine.turn import Turn
from cluster.text.tokenizer import Tokenizer

# Every transition checks its event, then changes the state and says what is to be done.
TRANSITIONS: Mapping[type[Event], Callable[[Turn, Any], None]] = {
    of.RequestSubmitted: life.submitted,
    of.PassagesFound: life.passages_found,
    of.PromptPrepared: life.prompt_prepared,
    of.RequestFailed: life.failed,
    of.RequestCancelled: life.cancelled,
    of.DeadlinePassed: life.deadline_passed,
    of.RoomReserved: room.reserved,
    of.RoomRefused: room.refused,
    of.LineWaited: room.line_waited,
    of.TokensSampled: generating.sampled,
    of.SequenceFailed: generating.sequence_failed,
    of.AbortSettled: generating.abort_settled,
    of.ChipLost: peers.chip_lost,
    of.ChipJoined: peers.chip_joined,
    of.ReaderLost: peers.reader_lost,
    of.OutputsHeard: peers.outputs_heard,
    of.OutputsLost: peers.outputs_lost,
    of.DrainBegan: peers.drain_began,
    of.RouterRestarted: peers.restarted,
    of_scaling.ChipAdded: scaling.chip_added,
    of_scaling.ChipDrainBegan: scaling.chip_drain_began,
    of_scaling.ChipDrainEnded: scaling.chip_drain_ended,
    of_scaling.ChipRemoved: scaling.chip_removed,
    of_watch.ChipSilent: watching.chip_silent,
    of_watch.ChipHeard: watching.chip_heard,
    of_store.StoreNamed: shelf.named,
    of_store.StoreCreated: shelf.created,
    of_store.PassagesAnnounced: shelf.announced,
    of_store.PassagesStored: shelf.stored,
    of_store.PassagesDropped: shelf.passages_dropped,
    of_store.StoreChanged: shelf.changed,
    of_store.FilesBegun: shelf.files_begun,
    of_store.FilesAdded: shelf.files_added,
    of_store.FileEnded: shelf.file_ended,
    of_store.FileRemoved: shelf.file_removed,
    of_store.FileChanged: shelf.file_changed,
    of_store.StoreLacks: shelf.lacks,
    of_store.StoreFilled: shelf.filled,
    of_store.StoreDeleted: shelf.deleted,
    of_store.StoreDropped: shelf.dropped,
}


class Machine:
    """Pure: the same state and event give the same state and actions, in any process.

    tokenizer   turns token ids into text; it belongs to the model, as the state's block size does
    """

    def __init__(self, state: RouterState, tokenizer: Tokenizer) -> None:
        self.state = state
        self._texts = Texts(tokenizer)

    def apply(self, event: Event) -> tuple[Action, ...]:
        """Raises ImpossibleEvent, the state being as before, for what cannot have happened."""
        turn = Turn(self.state, self._texts, event.at_ns)
        TRANSITIONS[type(event)](turn, event)
        room.serve(turn)
        return tuple(turn.actions)
