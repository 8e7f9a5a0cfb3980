"""DeepSeek's load balancer: its published example, worked by hand, and what holds for all loads."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.eplb import balance, imbalance, pack, replicate, shares_of
from configs.placing import place_experts
from configs.plan import ShardPlan
from configs.replicating import read_loads, uneven_shares
from configs.schema import ScenarioError, load_scenario
from configs.schema.placement import ExpertPlacement
from configs.schema.replicas import ExpertReplicas
from tests.configs.test_plan import plan, problems

# The example of EPLB's README: 12 experts of two layers in 4 groups, 16 slots on 2 nodes of 4 GPUs.
PUBLISHED = [
    (
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    ),
    (
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ),
]


@pytest.mark.parametrize(("loads", "slots"), PUBLISHED, ids=["layer 0", "layer 1"])
def test_the_published_example(loads: list[int], slots: list[int]) -> None:
    placed = balance(loads, 16, 8, num_groups=4, num_nodes=2)
    assert placed == [slots[i : i + 2] for i in range(0, 16, 2)]


def test_a_small_case_by_hand() -> None:
    """Loads 8, 4, 2, 2 on 3 shards, 6 slots. Copies: expert 0 (8 to 4), then 0 again, as 4 is first
    of the equal ones (to 8/3). Packed: 4 of expert 1, three times 2 2/3 of expert 0, two of 2.

        shard 0   expert 1, then expert 0     4 + 8/3 = 6 2/3
        shard 1   expert 0, expert 2          8/3 + 2 = 4 2/3
        shard 2   expert 0, expert 3          8/3 + 2 = 4 2/3

    Of 16 / 3 at the mean: 1.25. Without copies, 8 and 4 and the two of 2: 1.5.
    """
    assert replicate([8, 4, 2, 2], 6, most=3) == [3, 1, 1, 1]
    assert balance([8, 4, 2, 2], 6, 3) == [[1, 0], [0, 2], [0, 3]]
    assert imbalance([4 + 8 / 3, 8 / 3 + 2, 8 / 3 + 2]) == pytest.approx(1.25)
    assert imbalance([8, 4, 4]) == 1.5
    assert imbalance([0, 0]) == 1.0


def test_shares_by_loads_even_out_what_packing_leaves() -> None:
    """The same case: each shard can have 16/3, if shard 0 takes 4/3 of expert 0."""
    shares = shares_of([8, 4, 2, 2], [[1, 0], [0, 2], [0, 3]])
    assert [share[0] for share in shares] == pytest.approx([4 / 3, 10 / 3, 10 / 3])
    assert [sum(share.values()) for share in shares] == pytest.approx([16 / 3] * 3)
    # A shard that has too much without it takes nothing of it.
    assert shares_of([9, 4], [[0, 1], [1]]) == [{0: 9, 1: 0}, {1: 4}]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=12), st.integers(2, 5), st.data())
def test_shares_by_loads_are_never_worse(
    loads: list[float], shards: int, data: st.DataObject
) -> None:
    """And no shard could give what it has to a lighter one that has a copy."""
    slots = data.draw(st.integers(max(len(loads), shards), len(loads) * shards))
    placed = balance(loads, slots, shards)
    shares = shares_of(loads, placed)
    levels = [sum(share.values()) for share in shares]
    even = [sum(loads[e] / sum(e in h for h in placed) for e in held) for held in placed]
    assert max(levels) <= max(even) * (1 + 1e-9)
    for expert, load in enumerate(loads):
        held = {s: share[expert] for s, share in enumerate(shares) if expert in share}
        assert sum(held.values()) == pytest.approx(load) and min(held.values()) >= 0
        givers = [levels[shard] for shard, part in held.items() if part > 1e-6 * (1 + load)]
        lightest = min(levels[shard] for shard in held)
        assert all(level <= lightest + 1e-3 * (1 + sum(loads)) for level in givers)


def test_a_plan_has_the_shares_that_were_asked_for() -> None:
    """In units of 128 tokens, the power of 2 above the largest load."""
    loads = [90, 10, 10, 10, 10, 10, 10, 10]
    assert plan({"placement.experts.replicas": asked_of(loads, 10)}).shares == {}
    made = plan({"placement.experts.replicas": asked_of(loads, 10, shares="loads")})
    of_0 = [made.shares[0, shard] for shard in made.experts[0]]
    assert len(of_0) == 3 and sum(of_0) == pytest.approx(90 / 128)
    assert {expert for expert, _ in made.shares} == set(range(8))


def test_who_would_have_two_of_one_expert_is_given_another() -> None:
    """The third copy of expert 0 finds only packs with room that have one already."""
    packs = pack([(0, 3.0), (0, 3.0), (1, 2.9), (1, 2.9), (2, 0.1), (0, 0.05)], [2, 2, 2])
    assert sorted(map(sorted, packs)) == [[0, 1], [0, 1], [0, 2]]


@settings(max_examples=200)
@given(st.data())
def test_slots_are_full_and_no_shard_has_an_expert_twice(data: st.DataObject) -> None:
    loads = data.draw(st.lists(st.floats(0, 100), min_size=1, max_size=20))
    shards = data.draw(st.integers(1, 8))
    slots = data.draw(st.integers(max(len(loads), shards), max(len(loads) * shards, shards)))
    if slots > len(loads) * shards:
        return
    placed = balance(loads, slots, shards)
    assert sum(map(len, placed)) == slots and min(map(len, placed)) >= slots // shards
    assert all(len(set(held)) == len(held) for held in placed)
    assert {expert for held in placed for expert in held} == set(range(len(loads)))


def test_copies_by_hand_lie_where_there_are_fewest() -> None:
    changes = {"placement.experts.replicas": {0: 1, 7: 3}}
    made = plan(changes)  # four shards of two experts each
    assert made.experts[0] == ("experts-0", "experts-1")
    assert made.experts[7] == ("experts-0", "experts-1", "experts-2", "experts-3")
    shards = [worker for worker in made.workers if isinstance(worker, ShardPlan)]
    held = [(0, 1, 7), (0, 2, 3, 7), (4, 5, 7), (6, 7)]
    assert [worker.expert_ids for worker in shards] == held


def test_a_strategy_for_loads_that_a_run_has_counted(tmp_path: Path) -> None:
    loads = [90, 10, 10, 10, 10, 10, 10, 10]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"experts": {"tokens": {str(e): n for e, n in enumerate(loads)}}}))
    asked = {"strategy": "eplb", "slots": 10, "path": str(path)}
    made = plan({"placement.experts.replicas": asked})
    assert made.experts == plan({"placement.experts.replicas": asked_of(loads, 10)}).experts
    assert len(made.experts[0]) == 3 and all(len(made.experts[e]) == 1 for e in range(1, 8))


def asked_of(loads: list[int], slots: int, **more: object) -> dict[str, object]:
    return {"strategy": "eplb", "slots": slots, "loads": loads, **more}


@pytest.mark.parametrize(
    ("replicas", "message"),
    [
        ({9: 1}, "copies.9: there is no expert 9: the model's are 0 to 7"),
        ({0: 4}, "is 4, and with the first one that is 5 copies for 4 shards: .* at most 3"),
        (asked_of([1] * 8, 7), "slots: is 7 for 8 experts on 4 shards: .* at least 8"),
        (asked_of([1] * 8, 33), "slots: is 33: .* at most 32"),
        (asked_of([1] * 6, 8), "loads: has loads of 6 experts, and the model has 8"),
        (asked_of([1] * 8, 9, nodes=3), "nodes: is 3, which does not divide 4 shards: use 2"),
        ({"strategy": "eplb", "slots": 8, "path": "/none"}, "path: /none cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(replicas: dict[object, object], message: str) -> None:
    found = problems({"placement.experts.replicas": replicas})
    assert len(found) == 1 and re.search(message, found[0]), found


def test_groups_that_stay_on_a_node_leave_fewer_places_for_copies() -> None:
    """8 experts in 2 groups, 4 shards on 2 nodes: a group's 4 experts fit on the node's 2 shards,
    8 copies a node, 16 in all. Where the groups are no multiple of the nodes, 8 x 4 = 32.
    """
    shards = tuple(f"experts-{i}" for i in range(4))

    def problems(slots: int, num_groups: int) -> list[str]:
        asked = ExpertReplicas.model_validate(asked_of([1] * 8, slots, nodes=2))
        placed, found = place_experts(ExpertPlacement(replicas=asked), shards, 8, num_groups)
        assert found or sum(map(len, placed.values())) == slots
        return found

    assert problems(16, 2) == [] and problems(32, 1) == []
    assert [told.split(", and")[0] for told in problems(18, 2)] == [
        "placement.experts.replicas.slots: is 18: 8 experts on each of 2 shards of their node "
        "take 16"
    ]


@pytest.mark.parametrize("load", [5e-324, 1.0, 1e308])
def test_shares_are_the_same_in_any_unit(load: float) -> None:
    """Two experts on two shards, each twice: half of a shard is one expert's half. Sums of 1e308
    are infinite, and half of 5e-324 is nothing.
    """
    section = {"strategy": "eplb", "slots": 4, "loads": [load, load], "shares": "loads"}
    placed = {"a": (0, 1), "b": (0, 1)}
    shares = uneven_shares(ExpertReplicas.model_validate(section), placed)
    assert set(shares) == {(e, s) for e in (0, 1) for s in "ab"} and len({*shares.values()}) == 1


def test_copies_of_an_expert_whose_load_is_lost_beside_others_are_even() -> None:
    """Both shards have 1 of experts 0 and 1; 1e-20 of a token more is lost in that sum."""
    section = {"strategy": "eplb", "slots": 4, "loads": [1, 1, 1e-20], "shares": "loads"}
    placed = {"a": (0, 2), "b": (1, 2)}
    shares = uneven_shares(ExpertReplicas.model_validate(section), placed)
    assert set(shares) == {(0, "a"), (1, "b")}


def test_copies_that_do_not_fit_are_refused_with_what_would_do() -> None:
    """Room for 2.9 experts of each layer, and a third one."""
    device = "cluster.nodes.experts.device.tiers.hbm.capacity"
    expert_bytes = plan().worker("experts-0").weights_bytes // 2  # type: ignore[attr-defined]
    room = {device: f"{int(expert_bytes * 2.9 / 0.9)} B", "model.activation_memory": "0 B"}
    assert plan(room).experts[0] == ("experts-0",)
    found = problems(room | {"placement.experts.replicas": {0: 1}})
    assert len(found) == 1 and "of experts do not fit tier hbm" in found[0], found


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"replicas": {"slots": 3}}, "has slots and no strategy"),
        ({"replicas": {}}, "says nothing"),
        ({"replicas": {"strategy": "eplb", "loads": [1]}}, "no slots"),
        ({"replicas": {"strategy": "eplb", "slots": 3}}, "neither loads nor path"),
        ({"replicas": {"strategy": "eplb", "slots": 3, "loads": [1], "path": "x"}}, "both loads"),
        ({"replicas": {"strategy": "eplb", "slots": 3, "copies": {1: 1}}}, "both copies and str"),
        ({"replicas": {"copies": {1: 1}, "shares": "loads"}}, "has shares and no strategy"),
        ({"replicas": {1: 0}}, "greater than or equal to 1"),
        ({"strategy": "round_robin", "replicas": asked_of([1] * 8, 9)}, "eplb, which places all"),
    ],
)
def test_what_contradicts_itself_is_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load_scenario("demo", {"placement.experts": section})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "has no experts.tokens"),
        ('{"experts": {}}', "has no experts.tokens"),
        ('{"experts": {"tokens": {"a": 1}}}', "no number"),
        ('{"experts": {"tokens": {"0": 1, "2": 1}}}', "without a gap"),
        ('{"experts": {"tokens": {"0": -1}}}', "without a gap"),
        ('{"experts": {"tokens": {"0": Infinity}}}', "without a gap"),
    ],
)
def test_a_file_that_counts_no_experts_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_loads(str(path))


def test_the_short_form_is_the_long_one() -> None:
    assert ExpertPlacement.model_validate({"replicas": {3: 1}}).replicas == ExpertReplicas(
        copies={3: 1}
    )
