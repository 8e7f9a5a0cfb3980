"""Batching: which tokens the next step computes, and what has become of them.

Decode first, then unfinished prefills, then the head of the queue, as far as the budget goes. Who
needs a block and finds none preempts the newest.
"""

from collections.abc import Iterable, Mapping

from workers.chip.admission import admit_next
from workers.chip.roster import Roster
from workers.chip.sequence import Sequence, State
from workers.chip.step import Item, Step
from workers.chip.transfer import hold


def schedule(roster: Roster) -> Step | None:
    if len(roster.steps) >= roster.max_steps:
        raise ValueError("a step is in flight: call advance or abandon before schedule")
    num_preemptions, most = roster.num_preemptions, _share(roster)
    items, prefills = _decodes(roster, most)
    budget = roster.max_num_batched_tokens - len(items)
    for seq in prefills:
        if seq.state is State.RUNNING and budget and len(items) < most:
            budget -= _give(items, seq, budget)
    # Who was preempted now would come in again at once, and be preempted again.
    if roster.num_preemptions == num_preemptions:
        while budget and len(items) < most and (head := admit_next(roster)) is not None:
            budget -= _give(items, head, budget)
    if not items:
        return None
    preempted = tuple(roster.preempted)
    roster.preempted.clear()
    step = Step(tuple(items), preempted, roster.max_num_batched_tokens - budget)
    roster.steps.append(step)
    return step


def _share(roster: Roster) -> int:
    """Sequences of a step at most. Where several are in flight each has its share of all, or the
    first would leave nothing to the others.
    """
    if roster.max_steps == 1:
        return roster.max_num_seqs
    here = min(len(roster.running) + len(roster.waiting), roster.max_num_seqs)
    return -(-here // roster.max_steps)


def _decodes(roster: Roster, most: int) -> tuple[list[Item], list[Sequence]]:
    """An item for each that has one token to compute and a block for it; and the others."""
    items: list[Item] = []
    prefills: list[Sequence] = []
    for seq in tuple(roster.running.values()):
        if seq.state is not State.RUNNING or roster.is_in_flight(seq):
            continue
        if seq.num_tokens - seq.num_computed > 1:
            prefills.append(seq)
        elif len(items) < most and _grow(roster, seq):
            items.append(Item(seq, seq.num_computed, 1, True))
    if roster.preempted:  # KV comes out of turn: a newer one may run before its older preemptor
        items = [item for item in items if item.seq.state is State.RUNNING]
    prefills.sort(key=_arrival)
    return items, prefills


def _grow(roster: Roster, seq: Sequence) -> bool:
    """Room for its next token, at the cost of the newest; False if that was itself. A step that is
    in flight keeps its blocks, so while there is one nobody is preempted: who finds no block waits,
    and soon nobody else has one left either.
    """
    while not roster.blocks.append(seq.block_ids, seq.num_tokens):
        if roster.steps:
            return False
        victim = max(roster.running.values(), key=_arrival)
        roster.preempt(victim)
        if victim is seq:
            return False
    return True


def _arrival(seq: Sequence) -> int:
    return seq.arrival


def _give(items: list[Item], seq: Sequence, budget: int) -> int:
    left = seq.num_tokens - seq.num_computed
    count = min(left, budget)
    items.append(Item(seq, seq.num_computed, count, count == left))
    return count


def hold_ahead(roster: Roster, step: Step, num_steps: int) -> None:
    """Blocks for so many more tokens of each sequence of a step, as far as there are any to spare:
    whoever has to be sure of one asks its `block_ids`.
    """
    for item in step.items:
        if item.seq.state is State.RUNNING:
            seq = item.seq
            most = min(seq.num_prompt + seq.max_tokens, roster.max_tokens)
            roster.blocks.append(seq.block_ids, min(seq.num_tokens + num_steps, most))


def give_back(roster: Roster) -> int:
    """Blocks that are held ahead are free again; returns how many."""
    blocks, before = roster.blocks, roster.blocks.num_free
    for seq in roster.running.values():
        num_needed = max(blocks.blocks_for(seq.num_tokens), 1)
        surplus = seq.block_ids[num_needed:]
        if surplus and seq.num_tokens - seq.num_computed == 1:
            del seq.block_ids[num_needed:]
            blocks.free(surplus)
    return blocks.num_free - before


def advance_by(
    roster: Roster,
    step: Step,
    tokens: Mapping[str, Iterable[int]],
    num_steps: int,
    *,
    goes_on: bool,
) -> tuple[Sequence, ...]:
    """So many decode steps of one batch were computed; `goes_on`: the next one is in flight.

    Returns those that can go no further, as `advance` does.
    """
    roster.check_in_flight(step)
    live = [item.seq for item in step.items if item.seq.state is State.RUNNING]
    roster.end_step(step)
    ended: list[Sequence] = []
    for seq in live:
        start = seq.num_computed
        seq.num_computed += num_steps
        seq.token_ids.extend(tokens[seq.seq_id])
        roster.commit(seq, start)
        if roster.at_end(seq):
            hold(roster, seq.seq_id)
            ended.append(seq)
    if goes_on:
        items = [Item(i.seq, i.start + num_steps, i.count, True) for i in step.items]
        roster.steps.append(Step(tuple(items), (), step.num_tokens))
    return tuple(ended)


def advance(roster: Roster, step: Step, tokens: Mapping[str, int]) -> tuple[Sequence, ...]:
    roster.check_in_flight(step)
    live = [item for item in step.items if item.seq.state is State.RUNNING]
    missing = [i.seq.seq_id for i in live if i.samples and i.seq.seq_id not in tokens]
    if missing:
        raise ValueError(f"no sampled token for {missing}: each item that samples needs one")
    roster.end_step(step)
    ended: list[Sequence] = []
    for item in live:
        seq = item.seq
        seq.num_computed = item.start + item.count
        if item.samples:
            seq.token_ids.append(tokens[seq.seq_id])
        roster.commit(seq, item.start)
        if seq.num_computed > seq.num_prompt:  # until it decodes, others may want its prefix
            roster.slide(seq, roster.num_behind(seq.num_computed))
        if item.samples and roster.at_end(seq):
            hold(roster, seq.seq_id)
            ended.append(seq)
    return tuple(ended)
