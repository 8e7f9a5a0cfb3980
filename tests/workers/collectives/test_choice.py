"""Which algorithm a size is given: crossovers by hand."""

import pytest

from configs.schema import load_link
from tests.workers.bench import BYTES_PER_S, make_link
from workers.collectives.choice import MODELS, crossovers, quickest


def test_two_shots_begin_where_hand_arithmetic_says() -> None:
    """A byte a nanosecond, 1 us on the way, heads of 64: one shot of S bytes over 4 ranks takes
    1,000 + 3 (64 + S), two take 2,000 + 6 (64 + S/4): equal at 3 S/2 = 1,192.
    """
    link = make_link()
    assert [quickest(4, size, link) for size in (1, 792, 800, 10**6)] == [
        "direct", "direct", "two_shot", "two_shot",
    ]  # fmt: skip
    ((_, first), (size, second)) = crossovers(4, link)
    assert (first, second) == ("direct", "two_shot") and 792 < size <= 800


def test_dear_messages_make_few_of_them_quickest() -> None:
    """10 us of the lane each: 15 of them at once take longer than 4 rounds of one."""
    link = make_link().model_copy(update={"overhead_ns": 10_000})
    assert quickest(16, 1_000, link) == "recursive_doubling"
    assert quickest(16, 10**7, link) == "halving_doubling"


def test_crossovers_rise_and_each_is_the_quickest_there() -> None:
    for name in ("nvlink4", "ib-ndr", "ib-mooncake"):
        link = load_link(name)
        found = crossovers(8, link)
        assert [size for size, _ in found] == sorted({size for size, _ in found})
        for (size, algorithm), (_, before) in zip(found[1:], found, strict=False):
            took = {known: model(8, size, link) for known, model in MODELS.items()}
            assert took[algorithm] == min(took.values()) and before != algorithm


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_two_ranks_send_once(num_ranks: int) -> None:
    assert crossovers(num_ranks, make_link(bytes_per_s=BYTES_PER_S)) == [(1, "direct")]
