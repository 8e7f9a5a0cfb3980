"""One thing that happens after the other, by chance: the usual, and now and then trouble."""

from cluster.router.machine import actions as act
from cluster.router.machine import events as of
from cluster.router.machine.scaling_events import (
    ChipAdded,
    ChipDrainBegan,
    ChipDrainEnded,
    ChipRemoved,
)
from cluster.router.machine.store_events import (
    FileChanged,
    FileEnded,
    FileRemoved,
    FilesAdded,
    FilesBegun,
    PassagesAnnounced,
    PassagesStored,
    StoreChanged,
    StoreCreated,
    StoreDeleted,
    StoreFilled,
    StoreLacks,
    StoreNamed,
)
from cluster.router.machine.store_state import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    StoreFile,
    StoreState,
)
from cluster.router.machine.watch_events import ChipHeard, ChipSilent
from tests.cluster.router.machine.outside import READERS, Chance, Outside
from workers.errors import PeerDead, to_body


def step(outside: Outside, chance: Chance) -> None:
    outside.now_ns += chance.randrange(100)
    what = chance.randrange(100)
    if what < 10:
        outside.submit(chance)
    elif what < 50 and outside.open:
        action = outside.open.pop(chance.randrange(len(outside.open)))
        if isinstance(action, act.AwaitDeadline) and chance.random() < 0.95:
            outside.open.append(action)
        else:
            outside.answer(action, chance.random())
    elif what < 80:
        outside.sample(chance)
    elif what < 90:
        outside.hear(READERS[chance.randrange(2)], 1 + chance.randrange(6))
    elif what < 94:
        disturb(outside, chance)
    elif what < 95:
        scale(outside, chance)
    elif what < 97:
        shelve(outside, chance)
    elif outside.state.line:
        outside.happened(of.LineWaited(outside.now_ns))


def disturb(outside: Outside, chance: Chance) -> None:
    what = chance.randrange(15)
    requests, sequences = list(outside.state.requests), list(outside.state.sequences)
    chips = list(outside.state.chips.values())
    chip = chips[chance.randrange(len(chips))]
    if what < 4 and requests:
        name = requests[chance.randrange(len(requests))]
        outside.happened(of.RequestCancelled(outside.now_ns, name))
    elif what < 5 and sequences:
        name = sequences[chance.randrange(len(sequences))]
        fault = to_body(PeerDead("a shard is gone"))
        outside.happened(of.SequenceFailed(outside.now_ns, chip.name, name, fault))
    elif what < 7 and chip.alive:
        lose(outside, chip.name)
    elif what < 9 and not chip.alive:
        outside.happened(of.ChipJoined(outside.now_ns, chip.name, chip.epoch + 1))
    elif what < 11:
        restart(outside, chance)
    elif what < 12:
        lose_reader(outside, READERS[chance.randrange(2)], chance.random() < 0.5)
    elif what < 13 and chip.alive and not chip.is_silent:
        outside.happened(ChipSilent(outside.now_ns, chip.name, "no word"))
    elif what < 14 and chip.is_silent:
        outside.happened(ChipHeard(outside.now_ns, chip.name))
    elif chance.random() < 0.2 and not outside.state.is_draining:
        outside.happened(of.DrainBegan(outside.now_ns))


def lose(outside: Outside, chip: str) -> None:
    epoch = outside.state.chips[chip].epoch
    outside.happened(of.ChipLost(outside.now_ns, chip, epoch, "crashed"))
    outside.open = [
        one for one in outside.open if not (isinstance(one, act.Abort) and one.chip == chip)
    ]
    outside.computed = {
        name: one for name, one in outside.computed.items()
        if chip != one.other_chip and (chip != one.first_chip or one.is_handed_over)
    }  # fmt: skip


def lose_reader(outside: Outside, reader: str, is_known: bool) -> None:
    """It is gone, or just hears nothing of what is on its way."""
    for heard in outside.readers.values():
        heard.is_gone = heard.is_gone or heard.name == reader
    num_lost = len(outside.on_the_way[reader])
    outside.on_the_way[reader].clear()
    if is_known:
        outside.happened(of.ReaderLost(outside.now_ns, reader, outside.epochs[reader]))
        outside.epochs[reader] += 1
    elif num_lost:
        outside.happened(of.OutputsLost(outside.now_ns, reader, num_lost))


def restart(outside: Outside, chance: Chance) -> None:
    """What was asked is answered to nobody, what was on its way to readers is lost, and a chip
    may have gone, or come back, meanwhile.
    """
    epochs = {name: chip.epoch + (not chip.alive) for name, chip in outside.state.chips.items()}
    living = {name: epoch for name, epoch in epochs.items() if chance.random() < 0.9}
    again = {name: epoch + 1 for name, epoch in living.items() if chance.random() < 0.1}
    kept = [n for n, c in outside.state.chips.items() if c.alive and n in living and n not in again]
    outside.computed = {
        name: one for name, one in outside.computed.items()
        if one.first_chip in kept and one.other_chip in kept
    }  # fmt: skip
    outside.open.clear()
    for queue in outside.on_the_way.values():
        queue.clear()
    outside.happened(of.RouterRestarted(outside.now_ns, living | again))


def scale(outside: Outside, chance: Chance) -> None:
    """A chip more, or one that leaves as soon as it may."""
    state, now_ns = outside.state, outside.now_ns
    leaving = [name for name, chip in state.chips.items() if chip.is_draining]
    done = [name for name in leaving if state.is_done(name)]
    staying = [name for name in state.chips if name not in leaving]
    if leaving and chance.random() < 0.3:
        outside.happened(ChipDrainEnded(now_ns, leaving[0]))
    elif done:
        outside.happened(ChipRemoved(now_ns, done[0]))
    elif len(state.chips) < CHIPS_MAX and chance.random() < 0.6:
        role = ("prefill", "decode", "chip")[chance.randrange(3)]
        name = next(f"{role[0]}{i}" for i in range(CHIPS_MAX) if f"{role[0]}{i}" not in state.chips)
        watermark = next(iter(state.chips.values())).watermark_blocks
        outside.happened(ChipAdded(now_ns, name, role, 9, watermark))
        outside.happened(of.ChipJoined(now_ns, name, 1))
    elif len(staying) > 1:
        outside.happened(ChipDrainBegan(now_ns, staying[chance.randrange(len(staying))]))


# So that a state stays small.
CHIPS_MAX = 7
STORES_MAX, FILES_MAX = 4, 3


def shelve(outside: Outside, chance: Chance) -> None:
    """Something about vector stores."""
    stores, now_ns = list(outside.state.stores.values()), outside.now_ns
    if not stores or (len(stores) < STORES_MAX and chance.random() < 0.3):
        number = outside.state.num_stores_named + 1
        outside.happened(StoreNamed(now_ns, f"vs_{number}", "notes", "hashing"))
        return
    store = stores[chance.randrange(len(stores))]
    if not store.is_ready:
        outside.happened(StoreCreated(now_ns, store.store_id))
    elif chance.random() < 0.2:
        outside.happened(StoreDeleted(now_ns, store.store_id))
        outside.open.append(act.DropStore(store.store_id))
    else:
        for _ in range(4):
            fill(outside, chance, store)


def fill(outside: Outside, chance: Chance, store: StoreState) -> None:
    """Something about a store's files: one comes, fails, is changed, or goes."""
    now_ns, store_id, names = outside.now_ns, store.store_id, list(store.files)
    what = chance.random()
    if names and (what < 0.2 or len(names) > FILES_MAX):
        name = names[chance.randrange(len(names))]
        spans = list(store.files[name].spans)
        outside.happened(FileRemoved(now_ns, store_id, name))
        outside.open.extend(act.DropPassages(store_id, *span) for span in spans)
        return
    if names and what < 0.3:
        outside.happened(FileChanged(now_ns, store_id, names[0], {"number": what}))
        outside.happened(StoreChanged(now_ns, store_id, "other", {"key": "value"}))
        outside.happened(StoreLacks(now_ns, store_id, "memory-1"))
        if what < 0.28:  # else it dies before
            outside.happened(StoreFilled(now_ns, store_id, "memory-1"))
        return
    first_id, count = store.next_passage_id, chance.randrange(9)
    name = f"f{first_id}"
    if name in store.files and store.files[name].status in (COMPLETED, IN_PROGRESS):
        return
    outside.happened(FilesBegun(now_ns, store_id, {name: StoreFile(f"{name}.txt", count)}))
    outside.happened(PassagesAnnounced(now_ns, store_id, first_id, count))
    outside.happened(PassagesStored(now_ns, store_id, "memory-0", 100 * first_id))
    if what > 0.9:
        return  # a restart finds it in progress
    if count and what > 0.7:
        status = FAILED if what > 0.8 else CANCELLED
        outside.happened(FileEnded(now_ns, store_id, name, status, "server_error", "gone"))
        outside.open.append(act.DropPassages(store_id, first_id, count))
        return
    spans = [(first_id, count)] if count else []
    outside.happened(FilesAdded(now_ns, store_id, first_id, count, {name: spans}))
