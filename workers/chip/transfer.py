"""Transfer: KV that comes from elsewhere, and KV that others still read here.

    reserve ─▶ receiving ─▶ received ─▶ running ─▶ hold ─▶ held ─▶ release ─▶ (gone)
                    └─▶ recompute ─▶ waiting

What each call promises stands with the Scheduler's methods of the same names.
"""

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq

from workers.chip.admission import allocate, check_new, has_room, has_slot
from workers.chip.roster import Roster
from workers.chip.sequence import Sequence, State
from workers.kv.blocks import Adoption


def reserve(roster: Roster, seq: Sequence, num_tokens: int | None) -> bool:
    check_new(roster, seq)
    most = max(seq.num_prompt, seq.num_tokens - 1)
    expected = most if num_tokens is None else num_tokens
    most = max(most, min(expected, seq.num_tokens))  # all, where the token after them comes, too
    if not 0 <= expected <= most:
        raise ValueError(
            f"sequence {seq.seq_id!r}: KV of {num_tokens} tokens announced, not 0 to {most}"
        )
    if roster.waiting or not has_slot(roster):
        return False
    if not allocate(roster, seq, seq.num_tokens + 1, most, roster.num_behind(expected)):
        return False
    roster.join(seq)
    roster.move(seq, State.RECEIVING)
    seq.num_cached = seq.num_computed
    seq.num_expected = expected
    return True


def received(roster: Roster, seq_id: str, new_tokens: Seq[int], num_tokens: int | None) -> None:
    seq = roster.known(seq_id, State.RECEIVING)
    arrived = seq.num_expected if num_tokens is None else num_tokens
    _check_received(roster, seq, arrived, len(new_tokens))
    seq.token_ids.extend(new_tokens)
    # The prefix cache has it all, and its last block is shared; or some is missing, and blocks that
    # what is missing has to meet were reserved without the layers that have a window.
    if seq.num_computed >= seq.num_tokens or (arrived < seq.num_expected and seq.num_slid):
        recompute(roster, seq_id)
        return
    seq.num_computed = max(arrived, seq.num_computed)
    roster.commit(seq, 0)
    roster.move(seq, State.RUNNING)
    if roster.at_end(seq):
        hold(roster, seq_id)
    elif not _covers(roster, seq) and not roster.blocks.append(seq.block_ids, seq.num_tokens):
        roster.preempt(seq)  # several tokens came at once, and a running one holds blocks for all


def _covers(roster: Roster, seq: Sequence) -> bool:
    return roster.blocks.blocks_for(seq.num_tokens) <= len(seq.block_ids)


def _check_received(roster: Roster, seq: Sequence, arrived: int, num_new: int) -> None:
    """Raises ValueError where the numbers contradict each other."""
    if not 0 <= arrived <= seq.num_expected:
        raise ValueError(
            f"sequence {seq.seq_id!r}: KV of {arrived} tokens arrived, {seq.num_expected} announced"
        )
    total = seq.num_tokens + num_new
    if total > roster.max_tokens or seq.num_outputs + num_new > seq.max_tokens:
        raise ValueError(
            f"sequence {seq.seq_id!r}: {num_new} more output tokens make {total}; at "
            f"most {roster.max_tokens} fit, and {seq.max_tokens} outputs are wanted"
        )
    if arrived >= total:
        raise ValueError(
            f"sequence {seq.seq_id!r}: the KV of all its {total} tokens is here: "
            "none is left to compute; pass the token that was sampled after them"
        )


def recompute(roster: Roster, seq_id: str) -> None:
    seq = roster.known(seq_id, State.RECEIVING)
    roster.let_go(seq)
    roster.move(seq, State.WAITING)


def take_external(roster: Roster, seq: Sequence, num_blocks: int | None) -> Adoption | None:
    if seq.state is not State.WAITING or roster.get(seq.seq_id) is not None:
        raise ValueError(
            f"{seq!r} is with a scheduler already: blocks are taken for it before that"
        )
    blocks = roster.blocks
    roster.hash(seq)
    # Its last token is computed here, so a block that ends with it is of no use.
    hashes = seq.block_hashes[: (seq.num_tokens - 1) // blocks.block_size][:num_blocks]
    here = blocks.match(hashes)
    num_new = len(hashes) - len(here)
    if not num_new or not has_room(roster, num_new, here):
        return None
    return blocks.adopt(hashes)


def take_back(
    roster: Roster, seq: Sequence, leading: Callable[[Seq[bytes]], int]
) -> Adoption | None:
    roster.hash(seq)
    blocks = roster.blocks
    hashes = seq.block_hashes[: (seq.num_tokens - 1) // blocks.block_size]
    here = blocks.match(hashes)
    num_found = leading(hashes[len(here) :])
    # Room for all of it, or what came back would go again before it is admitted.
    num_new = blocks.blocks_for(seq.num_tokens) - len(here)
    if not num_found or not has_room(roster, num_new, here):
        return None
    return blocks.adopt(hashes[: len(here) + num_found])


def hold(roster: Roster, seq_id: str) -> None:
    seq = roster.known(seq_id, State.RUNNING, State.HELD)
    if seq.state is State.HELD:
        return
    if roster.is_in_flight(seq):
        raise ValueError(f"sequence {seq_id!r} is in the step in flight: hold it after advance")
    roster.move(seq, State.HELD)
    seq.held = dict(enumerate(seq.own_blocks, seq.num_far))


def release(roster: Roster, seq_id: str, block_indexes: Iterable[int] | None) -> int:
    if roster.get(seq_id) is None:
        return 0
    seq = roster.known(seq_id, State.HELD)
    indexes = range(len(seq.block_ids)) if block_indexes is None else tuple(block_indexes)
    for index in indexes:
        if not 0 <= index < len(seq.block_ids):
            raise ValueError(
                f"sequence {seq_id!r} has blocks 0 to {len(seq.block_ids) - 1}, none at {index}"
            )
    there = sorted(set(indexes) & set(seq.held))  # those behind a window come first
    released = [seq.held.pop(i) for i in there]
    roster.free(released, sum(i < seq.num_slid for i in there))
    if not seq.held:
        roster.remove(seq)
    return len(released)


def mark_approximate(roster: Roster, seq_id: str, position: int) -> None:
    seq = roster.known(seq_id, State.RUNNING, State.RECEIVING)
    if position < seq.num_computed:
        raise ValueError(
            f"sequence {seq_id!r}: position {position} may be shared already: "
            f"{seq.num_computed} tokens are computed"
        )
    if seq.approximate_from is None or position < seq.approximate_from:
        seq.approximate_from = position
