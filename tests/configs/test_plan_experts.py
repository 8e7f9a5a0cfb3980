"""Which expert lies on which shard."""

from hypothesis import given
from hypothesis import strategies as st

from configs.placing import place_experts
from configs.schema import ExpertPlacement


def shards_of(count: int) -> tuple[str, ...]:
    return tuple(f"experts-{i}" for i in range(count))


@given(st.sampled_from(["contiguous", "round_robin"]), st.integers(1, 64), st.integers(1, 256))
def test_a_strategy_puts_each_expert_on_one_shard_evenly(strategy, num_shards, num_experts) -> None:
    placement = ExpertPlacement(strategy=strategy)
    placed, wrong = place_experts(placement, shards_of(num_shards), num_experts)
    if num_shards > num_experts:
        assert len(wrong) == 1
        return
    assert not wrong
    assert sorted(e for held in placed.values() for e in held) == list(range(num_experts))
    sizes = [len(held) for held in placed.values()]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@given(st.lists(st.lists(st.integers(-1, 8), max_size=6), min_size=1, max_size=4))
def test_named_shards_are_right_exactly_if_they_partition(lists: list[list[int]]) -> None:
    names = shards_of(len(lists))
    shards = {name: tuple(held) for name, held in zip(names, lists, strict=True)}
    _, wrong = place_experts(ExpertPlacement(shards=shards), names, 8)
    flat = [expert for held in lists for expert in held]
    assert (not wrong) == (sorted(flat) == list(range(8)) and all(lists))


def test_an_unknown_shard_gets_a_hint() -> None:
    shards = {"experts-0": (0, 1), "expert-1": (2, 3)}
    _, wrong = place_experts(ExpertPlacement(shards=shards), shards_of(2), 4)
    assert any("did you mean 'experts-1'" in line for line in wrong)
