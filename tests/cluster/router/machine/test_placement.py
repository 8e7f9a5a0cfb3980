"""Filter, score, pick."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.router.machine.chips import ChipState, Prompt
from cluster.router.machine.placement import (
    CHIP_SCORERS,
    DECODE_SCORERS,
    PREFILL_SCORERS,
    Field,
    few_requests,
    has_room,
    kv_room,
    missing_role,
    pick,
    place,
    prefix_hit,
    short_queue,
)

HASHES = tuple(f"{i:032x}" for i in range(4))


def chip(name: str, role: str = "prefill", **fields: object) -> ChipState:
    state = ChipState(name, role, 100)
    for key, value in fields.items():
        setattr(state, key, value)
    return state


def holding(name: str, count: int, **fields: Any) -> ChipState:
    state = chip(name, **fields)
    state.prefixes.update((content, None) for content in HASHES[:count])
    return state


PROMPT = Prompt(ids=(1,) * 64, block_hashes=HASHES, blocks=5, first_blocks=5)


def test_scores_by_hand() -> None:
    a, b = holding("a", 3, queued_tokens=100), holding("b", 0, queued_tokens=400)
    field = Field.of([a, b])
    assert [prefix_hit(c, PROMPT, field) for c in (a, b)] == [0.75, 0.0]
    assert [short_queue(c, PROMPT, field) for c in (a, b)] == [0.75, 0.0]
    assert short_queue(chip("x"), PROMPT, Field.of([chip("x")])) == 1.0
    c, d = chip("c", num_requests=1, blocks_taken=25), chip("d", num_requests=4)
    field = Field.of([c, d])
    assert [few_requests(x, PROMPT, field) for x in (c, d)] == [0.75, 0.0]
    assert [kv_room(x, PROMPT, field) for x in (c, d)] == [0.75, 1.0]
    assert prefix_hit(a, Prompt((1,), (), 1, 1), field) == 0.0


class Counts:
    """A chip that counts how often it is asked for its queue."""

    asked: int

    def __init__(self, name: str) -> None:
        self.chip, self.asked = chip(name), 0

    def __getattr__(self, name: str) -> object:
        if name == "queued_tokens":
            self.asked += 1
        return getattr(self.chip, name)


def test_each_of_many_chips_is_looked_at_a_few_times() -> None:
    """Not once for each other one: 320 chips were looked at 100,000 times a request."""
    many: list[Any] = [Counts(f"c{i}") for i in range(320)]
    assert pick(many, PROMPT, (), CHIP_SCORERS) is many[0]
    assert max(one.asked for one in many) <= 2


def test_a_whole_prefix_outweighs_the_longest_queue() -> None:
    busy, idle = holding("busy", 4, queued_tokens=900), chip("idle")
    assert pick([idle, busy], PROMPT, (), PREFILL_SCORERS) is busy
    partly = holding("partly", 1, queued_tokens=900)
    assert pick([idle, partly], PROMPT, (), PREFILL_SCORERS) is idle


def test_a_prefix_hit_counts_twice_as_much_as_a_short_queue() -> None:
    """3 of 4 blocks and the longest queue: 2 x 0.75 against 1. One block against a queue of 40 to
    100: 2 x 0.25 against 0.6. A chip that both can be asked for sums up all four scores.
    """
    hit, idle = holding("hit", 3, queued_tokens=100), chip("idle")
    shorter = chip("shorter", queued_tokens=40)
    little = holding("little", 1, queued_tokens=100)
    for scorers in (PREFILL_SCORERS, CHIP_SCORERS):
        assert pick([idle, hit], PROMPT, (), scorers) is hit
        assert pick([little, shorter], PROMPT, (), scorers) is shorter


def test_few_requests_count_as_much_as_room_for_kv() -> None:
    """2 of 4 requests with 0.25 of its room, then with none: 0.5 + 0.25 and 0.5. The other has all
    4, and 0.8 of its room, then 0.4.
    """
    few, many = chip("few", num_requests=2), chip("many", num_requests=4)
    few.blocks_taken, many.blocks_taken = 75, 20
    assert pick([few, many], PROMPT, (), DECODE_SCORERS) is many
    few.blocks_taken, many.blocks_taken = 100, 60
    assert pick([few, many], PROMPT, (), DECODE_SCORERS) is few


def test_room_is_to_the_block() -> None:
    assert has_room(chip("x", blocks_taken=95), PROMPT)
    assert not has_room(chip("x", blocks_taken=96), PROMPT)


def test_of_equals_the_first_and_of_none_nobody() -> None:
    a, b = chip("a"), chip("b")
    assert pick([a, b], PROMPT, (), PREFILL_SCORERS) is a
    assert pick([b, a], PROMPT, (), PREFILL_SCORERS) is b
    assert pick([], PROMPT, (), PREFILL_SCORERS) is None


def test_roles_the_dead_and_the_full_are_filtered() -> None:
    chips = [
        chip("p0", alive=False), chip("p1"), chip("d0", "decode", blocks_taken=99),
        chip("d1", "decode", alive=False), chip("d2", "decode", num_requests=50),
    ]  # fmt: skip
    by_name = {each.name: each for each in chips}
    assert place(chips, PROMPT) == ("p1", "d2")
    by_name["d2"].blocks_taken = 96
    assert place(chips, PROMPT) is None
    assert missing_role(chips) is None, "room may come"
    by_name["d2"].blocks_taken, by_name["p1"].alive = 0, False
    assert place(chips, PROMPT) is None
    assert missing_role(chips) == "prefill"
    assert missing_role([*chips, chip("c0", "chip")]) is None
    assert missing_role([chip("p0")]) == "decode"


def test_whoever_drains_is_filtered_and_counts_for_no_role() -> None:
    chips = [
        chip("p0", is_draining=True), chip("p1", queued_tokens=99), chip("d0", "decode"),
        chip("d1", "decode", num_requests=9), chip("c0", "chip", is_draining=True),
    ]  # fmt: skip
    by_name = {each.name: each for each in chips}
    assert place(chips, PROMPT) == ("p1", "d0")
    by_name["d0"].is_draining = True
    assert place(chips, PROMPT) == ("p1", "d1")
    assert missing_role(chips) is None
    by_name["d1"].is_draining = True
    assert place(chips, PROMPT) is None
    assert missing_role(chips) == "decode"
    by_name["c0"].is_draining = False
    assert place(chips, PROMPT) == ("c0", "c0")
    assert missing_role(chips) is None


def test_a_chip_that_does_both_goes_first_and_is_named_twice() -> None:
    chips = [
        chip("p0"), chip("d0", "decode"), chip("c0", "chip", num_requests=3),
        chip("c1", "chip", blocks_taken=20),
    ]  # fmt: skip
    by_name = {each.name: each for each in chips}
    assert place(chips, PROMPT) == ("c1", "c1")
    by_name["c0"].prefixes.update((content, None) for content in HASHES)
    assert place(chips, PROMPT) == ("c0", "c0")
    by_name["c0"].alive, by_name["c1"].blocks_taken = False, 96
    assert place(chips, PROMPT) == ("p0", "d0")
    chips.remove(by_name["d0"])
    assert place(chips, PROMPT) is None


@given(
    st.lists(
        st.builds(
            lambda name, held, queue, num, taken, alive: holding(
                str(name), held, role="decode", queued_tokens=queue, num_requests=num,
                blocks_taken=taken, alive=alive,
            ),
            st.integers(0, 99), st.integers(0, 4), st.integers(0, 999), st.integers(0, 9),
            st.integers(0, 100), st.booleans(),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_scores_stay_between_0_and_1_and_the_pick_is_the_best(chips: list[ChipState]) -> None:
    for scorers in (PREFILL_SCORERS, DECODE_SCORERS, CHIP_SCORERS):
        for scorer, _ in scorers:
            assert all(0.0 <= scorer(c, PROMPT, Field.of(chips)) <= 1.0 for c in chips)
        best = pick(chips, PROMPT, (has_room,), scorers)
        fit = [c for c in chips if has_room(c, PROMPT)]
        totals = [sum(w * s(c, PROMPT, Field.of(fit)) for s, w in scorers) for c in fit]
        assert (best is None) == (not fit)
        assert best is None or best is fit[totals.index(max(totals))]
