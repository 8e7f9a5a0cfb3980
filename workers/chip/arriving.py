"""What comes to a chip, checked: what it is for, and whether it can be."""

from collections.abc import Iterator
from contextlib import contextmanager

from workers.chip.sequence import Sequence, State
from workers.errors import InvalidRequest


@contextmanager
def as_invalid_request() -> Iterator[None]:
    """What a sequence or its scheduler refuses is the asker's fault."""
    try:
        yield
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def check_awaits_kv(seq: Sequence) -> None:
    """Raises InvalidRequest where it awaits no KV, since its blocks may be another's by now."""
    if seq.state is not State.RECEIVING:
        raise InvalidRequest(f"{seq.seq_id} is {seq.state.value}: no KV is awaited")


def awaited_blocks(seq: Sequence, logical: tuple[int, ...]) -> tuple[int, ...]:
    """Physical blocks of a sequence's logical ones. Raises InvalidRequest where it has no such
    blocks.
    """
    held = seq.block_ids
    if not all(0 <= index < len(held) for index in logical):
        raise InvalidRequest(f"{seq.seq_id} has {len(held)} blocks here: KV came for {logical}")
    return tuple(held[index] for index in logical)
