"""Room by `placement.reserve: watermark`, worked by hand: blocks of 16 tokens, one stays free."""

from typing import Any

from cluster.router.machine import events as of
from cluster.router.machine.chips import ChipState, Placement, Prompt, grown, let_go, take
from tests.cluster.router.machine.requests import machine
from tests.cluster.router.machine.told import kinds, prepared, sampled, submitted, token

PAIR = (("p0", "prefill"), ("d0", "decode"))


def prompt(num_tokens: int, max_tokens: int, *hashes: str) -> Prompt:
    blocks, first_blocks = -(-(num_tokens + max_tokens) // 16), -(-(num_tokens + 1) // 16)
    return Prompt((1,) * num_tokens, hashes, blocks, first_blocks)


def taken(chip: ChipState, *prompts: Prompt) -> list[Placement]:
    placements = [Placement(f"r{i}", "p", "d") for i in range(len(prompts))]
    for placement, each in zip(placements, prompts, strict=True):
        take({"p": ChipState("p", "prefill", 9), "d": chip}, placement, each)
    return placements


def test_what_leaves_for_memory_servers_is_not_counted() -> None:
    """A prompt of 2 blocks of its own that has grown to 5; whole requests are counted whole."""
    for watermark, gives_away, taken in ((1, False, 5), (1, True, 2), (None, True, 5)):
        chip = ChipState("d", "decode", 9, watermark_blocks=watermark, gives_away=gives_away)
        chips, placement = {"d": chip}, Placement("r", "d", "d")
        prompt = Prompt((1,) * 20, (), 5, 2)
        take(chips, placement, prompt)
        grown(chips, placement, prompt, 5)
        assert chip.blocks_taken == taken
        let_go(chips, placement, prompt)
        assert chip.blocks_taken == 0


def test_a_prompt_and_the_watermark_are_enough() -> None:
    """Prompts of 2 blocks that may grow to 5, on 9 blocks: in full one fits. With a watermark of 1
    a fourth fits, 3 x 2 + 2 + 1 <= 9, and no fifth; with 3 a third, 2 x 2 + 2 + 3 <= 9.
    """
    for watermark, fitting in ((None, 1), (1, 4), (3, 3), (0, 4)):
        chip = ChipState("d", "decode", 9, watermark_blocks=watermark)
        count = 0
        while chip.has_room(prompt(30, 50)):
            taken(chip, prompt(30, 50))
            count += 1
        assert count == fitting, watermark


def test_alone_a_request_may_fill_the_chip_and_none_that_is_larger_is_placed() -> None:
    chip = ChipState("d", "decode", 5, watermark_blocks=1)
    assert chip.has_room(prompt(79, 1)), "80 tokens are 5 blocks, and nobody else is here"
    assert not chip.has_room(prompt(16, 65)), "81 tokens: it would never end"
    taken(chip, prompt(3, 1))
    assert not chip.has_room(prompt(63, 1)), "1 + 4 blocks, and 1 that stays free"
    assert chip.has_room(prompt(47, 17))


def test_a_shared_prefix_takes_its_blocks_once_until_the_last_has_gone() -> None:
    chip = ChipState("d", "decode", 9, watermark_blocks=1)
    chips = {"p": ChipState("p", "prefill", 9), "d": chip}
    prompts = [prompt(40, 20, "a", "b"), prompt(50, 20, "a", "b", "c"), prompt(20, 20, "a")]
    placements = taken(chip, *prompts)
    assert chip.blocks_taken == 3 + 3, "a, b and c, and a last block of each"
    assert [one.own_blocks for one in placements] == [1, 1, 1]
    for left in (6 - 1, 5 - 1 - 2, 0):  # its own; its own and b and c; its own and a
        placement, each = placements.pop(0), prompts.pop(0)
        let_go(chips, placement, each)
        assert chip.blocks_taken == left
    assert chip.is_idle


def test_what_grows_is_counted_and_let_go() -> None:
    chip, whole = ChipState("d", "decode", 9, watermark_blocks=1), ChipState("d", "decode", 9)
    for each, expected in ((chip, [2, 2, 3, 3, 5, 5]), (whole, [5] * 6)):
        wanted = prompt(30, 50)
        (placement,) = taken(each, wanted)
        chips = {"p": ChipState("p", "prefill", 9), "d": each}
        seen = []
        for num_blocks in (2, 2, 3, 3, 5, 4):  # told late, an older position takes nothing back
            grown(chips, placement, wanted, num_blocks)
            seen.append(each.blocks_taken)
        assert seen == expected
        let_go(chips, placement, wanted)
        assert each.is_idle


def asked(one: Any, name: str, at_ns: int = 0) -> list[str]:
    """30 tokens of prompt and up to 30 more: 2 blocks, then 4."""
    one.apply(submitted(name, at_ns, max_tokens=30))
    return kinds(one.apply(prepared(name, at_ns)))


def test_a_stream_that_grew_leaves_no_room_and_one_that_ends_makes_some() -> None:
    """7 blocks, prompts that share 1 of their 2. `a` takes 2, `b` 1 more; with 1 for `c` and 1 that
    stays free that is 5. `a` grows to 4 and `b` to 3: 1 + 3 + 2, and 1 + 1 more are too many.
    """
    one = machine(PAIR, num_blocks=7, watermark=1)
    for name in "ab":
        assert asked(one, name)[-1] == "Reserve"
        one.apply(of.RoomReserved(0, name, 0))
        one.apply(sampled("p0", token(name, "prefill", 0)))
    assert one.state.chips["d0"].blocks_taken == 3
    one.apply(sampled("d0", *(token(name, "decode", 2) for name in "ab")))  # 33 tokens, told early
    assert one.state.chips["d0"].blocks_taken == 5
    one.apply(sampled("d0", token("a", "decode", 18)))  # 49
    assert one.state.chips["d0"].blocks_taken == 6
    assert asked(one, "c", 5)[-1] == "AwaitRoom" and one.state.line == ["c"]
    for position in range(1, 30):
        at_end = "length" if position == 29 else ""
        actions = one.apply(sampled("d0", token("a", "decode", position, reason=at_end), at_ns=9))
    assert kinds(actions)[-1] == "Reserve" and actions[-1].sequence.request_id == "c"
