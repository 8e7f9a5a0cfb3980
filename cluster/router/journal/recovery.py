"""From the files of a journal to the state that its router had."""

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.router.journal.codec import decode
from cluster.router.journal.records import JournalDamaged, scan
from cluster.router.machine.events import Event
from cluster.router.machine.machine import Machine
from cluster.router.machine.state import RouterState
from cluster.text.tokenizer import Tokenizer
from workers.host.disk import Disk

# What JSON of another shape than ours raises in a decoder or a transition.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
FOLDER = "journal.router"  # no name of a store or pool, which have no dot


@dataclass(frozen=True, slots=True)
class Recovered:
    """state         after all whole records, or None if there never was a journal
    generations   of the files that are there, oldest first, whole or not
    """

    state: RouterState | None
    generations: tuple[int, ...]


def file_of(generation: int) -> str:
    return f"{FOLDER}/{generation:08d}"


def recover(disk: Disk, tokenizer: Tokenizer) -> Recovered:
    """Replay the newest file that has a state to begin with: a crash may have torn the first record
    of a newer one, and then the one before it is still there, whole.

    Raises JournalDamaged, with the byte, for anything that a crash does not leave behind.
    """
    names = [name for name in disk.names() if name.startswith(f"{FOLDER}/")]
    known = tuple(int(name.split("/")[1]) for name in names)
    for generation in reversed(known):
        state = replay(disk.read(file_of(generation)), tokenizer, file_of(generation))
        if state is not None:
            return Recovered(state, known)
    return Recovered(None, known)


def replay(data: bytes, tokenizer: Tokenizer, name: str = "journal") -> RouterState | None:
    """The state after the records of one file; None if not even its first one is whole."""
    machine: Machine | None = None
    for offset, record in _decoded(data, name):
        if machine is None:
            if not isinstance(record, RouterState):
                raise JournalDamaged(f"{name}: byte {offset}: no state stands before the events")
            machine = Machine(record, tokenizer)
        elif isinstance(record, RouterState):
            raise JournalDamaged(f"{name}: byte {offset}: a second state stands among the events")
        else:
            _apply(machine, record, offset, name)
    return None if machine is None else machine.state


def _decoded(data: bytes, name: str) -> Iterator[tuple[int, Event | RouterState]]:
    for offset, payload in scan(data, name):
        try:
            record = decode(payload)
        except MALFORMED as error:
            raise JournalDamaged(f"{name}: byte {offset}: is no record of ours: {error}") from error
        yield offset, record


def _apply(machine: Machine, event: Event, offset: int, name: str) -> None:
    try:
        machine.apply(event)
    except MALFORMED as error:  # ImpossibleEvent, or fields of another type than the event's
        text = f"{name}: byte {offset}: does not follow from what is before it: {error}"
        raise JournalDamaged(text) from error
