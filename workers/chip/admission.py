"""Admission: who may come in, and with how many blocks.

First come, first served: whoever does not fit lets nobody pass, and what comes in leaves blocks
free for those that are here already, or it would be preempted at their next block.
"""

from workers.chip.roster import Roster
from workers.chip.sequence import Sequence, State


def add(roster: Roster, seq: Sequence) -> None:
    check_new(roster, seq)
    roster.join(seq)


def check_new(roster: Roster, seq: Sequence) -> None:
    """Raises ValueError if it is not new, or can never fit."""
    blocks = roster.blocks
    if seq.num_tokens + 1 > roster.max_tokens:
        raise ValueError(
            f"sequence {seq.seq_id!r} has {seq.num_tokens} tokens and needs room for one more: "
            f"max_model_len is {roster.max_model_len}, and {blocks.num_blocks} blocks of "
            f"{blocks.block_size} hold {blocks.num_blocks * blocks.block_size}"
        )
    if roster.get(seq.seq_id) is not None or seq.state is not State.WAITING:
        raise ValueError(f"sequence {seq.seq_id!r} is not new here (it is {seq.state.value})")


def has_slot(roster: Roster) -> bool:
    return roster.num_slots < roster.max_num_seqs


def has_room(roster: Roster, num_new: int, shared: list[int], num_thin: int = 0) -> bool:
    """For `num_new` blocks beside `shared` ones, with some to spare for those that grow."""
    return roster.blocks.can_allocate(num_new + _spare_blocks(roster), shared, num_thin)


def _spare_blocks(roster: Roster) -> int:
    """One for each that runs; or the watermark, unless nobody is here: who fits alone comes in."""
    if roster.watermark_blocks is None:
        return len(roster.running)
    return roster.watermark_blocks if roster.running or roster.receiving else 0


def allocate(
    roster: Roster, seq: Sequence, num_tokens: int, most_cached: int, behind: int = 0
) -> bool:
    """Blocks for `num_tokens` tokens, up to `most_cached` of them from the prefix cache; `behind`
    leading ones lie behind every window of what it computes here.

    False, changing nothing, if there is no room.
    """
    blocks = roster.blocks
    roster.hash(seq)
    hits = blocks.match(seq.block_hashes[: most_cached // blocks.block_size])
    num_new = blocks.blocks_for(num_tokens) - len(hits)
    num_thin = max(0, behind - len(hits))
    if not has_room(roster, num_new, hits, num_thin):
        return False
    seq.block_ids = blocks.allocate(num_new, hits, num_thin)
    roster.slide(seq, behind)
    seq.num_computed = len(hits) * blocks.block_size
    return True


def admit_next(roster: Roster) -> Sequence | None:
    """Move the head of the queue to running; None if there is none, no slot or no room for it.

    Its last token is never taken from the cache: its logits have to be computed, and that would
    write into a shared block.
    """
    if not roster.waiting or not has_slot(roster):
        return None
    seq = next(iter(roster.waiting.values()))
    if roster.elsewhere.brings(seq):
        return None  # it comes in when that is here, and lets nobody pass
    if not allocate(roster, seq, seq.num_tokens, seq.num_tokens - 1):
        return None
    roster.elsewhere.admitted(seq)
    if seq.state is State.WAITING:  # a preempted one asks for what it had: not a query
        seq.num_cached = seq.num_computed
        roster.num_prefix_queries += seq.num_tokens
        roster.num_prefix_hits += seq.num_cached
    roster.move(seq, State.RUNNING)
    return seq
