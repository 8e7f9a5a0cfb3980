"""A scenario's faults: each hits what it names, as often and when it says, and repeatably."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cluster.faults.problems import check_faults
from cluster.faults.standing import StandingFaults
from cluster.faults.words import kind_words
from cluster.worlds.virtual import VirtualWorld
from configs.schema import Scenario, ScenarioError, load_scenario
from configs.schema.faults import link_faults
from tests.cluster.worlds.cluster import SMALL, blueprint, run, with_cards
from tests.workers.bench import Bench
from workers.host.rng import Rng
from workers.wire.kind import Kind, Reply
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.kinds.kv import KvBlocks
from workers.wire.message import Message
from workers.wire.rules import Corrupt, Delay, Drop, Duplicate, Pass, Rule, Verdict

DIRECTORY = blueprint().plan.directory


def rules_for(
    loaded: Scenario, node: str, directory: Mapping[str, str], rng: Rng
) -> dict[str, Rule]:
    """What asks about messages that leave `node`."""
    check_faults(loaded, directory)
    endpoint = Bench(node).node(node).endpoint
    StandingFaults(endpoint, directory, rng).become(link_faults(loaded.faults))
    return endpoint.rules


def scenario(*faults: dict[str, Any], **changes: object) -> Scenario:
    return load_scenario("demo", {**SMALL, "faults": list(faults), **changes})


def rules(node: str, *faults: dict[str, Any], seed: int = 0) -> dict[str, Rule]:
    return rules_for(scenario(*faults), node, DIRECTORY, Rng(seed))


NONE: Any = np.zeros(0)
CONTENTS: dict[str, Kind[Any]] = {
    "dispatch": Dispatch(0, NONE, NONE, NONE, NONE, NONE),
    "kv_blocks": KvBlocks(NONE, NONE, NONE),
    "reply": Reply(),
    "combine": Combine(np.zeros((0, 0))),
}


def message(number: int = 1, at_ns: int = 0, kind: str = "dispatch", **fields: Any) -> Message[Any]:
    known = {"source": "prefill-0", "destination": "experts-1", **fields}
    return Message(CONTENTS[kind], **known, message_id=number, sent_ns=at_ns, charged_bytes=1_000)


def judge(rule: Rule, told: Message[Any]) -> Verdict:
    return rule.judge(DIRECTORY[told.source], DIRECTORY[told.destination], told)


def only(fault: dict[str, Any], node: str = "prefill-0", seed: int = 0) -> Rule:
    (rule,) = rules(node, fault, seed=seed).values()
    return rule


def test_each_type_says_its_verdict() -> None:
    assert judge(only({"type": "drop"}), message()) == Drop()
    assert judge(only({"type": "corrupt"}), message()) == Corrupt()
    assert judge(only({"type": "duplicate"}), message()) == Duplicate(0)
    late = {"type": "duplicate", "attributes": {"delay": "3 us"}}
    assert judge(only(late), message()) == Duplicate(3_000)
    late = {"type": "latency", "attributes": {"latency": "2 us"}}
    assert judge(only(late), message()) == Delay(2_000)
    assert judge(only({"type": "partition"}), message()) == Drop()


@pytest.mark.parametrize(
    ("aim", "hits"),
    [
        ({}, True),
        ({"source": "prefill-0", "destination": "experts-1"}, True),
        ({"destination": "experts-0"}, False),
        ({"source": "decode-0"}, None),
        ({"kind": "dispatch"}, True),
        ({"kind": "kv_blocks"}, False),
    ],
)
def test_a_rule_hits_what_it_names(aim: dict[str, str], hits: bool | None) -> None:
    """None: the node has no such rule at all, and pays nothing for it."""
    found = rules("prefill-0", {"type": "drop", **aim})
    if hits is None:
        assert found == {}
    else:
        assert judge(found["fault-0"], message()) == (Drop() if hits else Pass())


def test_a_worker_may_be_named_by_its_node() -> None:
    """Where several workers share a node, the node's name means all of them."""
    changes = {
        "cluster.nodes.experts": None,
        "cluster.nodes.decode.workers": ["decode", "experts"],
    }
    faults = ({"type": "drop", "destination": "decode-1"},)
    plan = blueprint({**changes, "faults": list(faults)}).plan
    assert plan.directory["experts-1"] == "decode-1"
    (rule,) = rules_for(scenario(*faults, **changes), "prefill-0", plan.directory, Rng(0)).values()
    assert rule.judge("prefill-0", "decode-1", message()) == Drop()
    assert rule.judge("prefill-0", "decode-0", message(destination="experts-0")) == Pass()
    inside = {"type": "drop", "source": "decode-1", "destination": "experts-1"}
    with pytest.raises(ScenarioError, match="decode-1 and experts-1 both stand on node decode-1"):
        rules_for(scenario(inside, **changes), "gateway", plan.directory, Rng(0))


def test_a_partition_cuts_both_directions() -> None:
    cut = {"type": "partition", "source": "prefill-0", "destination": "experts-1"}
    back = message(source="experts-1", destination="prefill-0", kind="reply")
    assert judge(only(cut), message()) == Drop()
    assert judge(only(cut, "experts-1"), back) == Drop()
    assert rules("decode-0", cut) == {}
    one_way = {"type": "drop", "source": "prefill-0", "destination": "experts-1"}
    assert rules("experts-1", one_way) == {}


def test_a_rule_holds_from_start_for_its_duration() -> None:
    rule = only({"type": "drop", "start": "10 us", "duration": "5 us"})
    seen = [judge(rule, message(at_ns=at)) for at in (9_999, 10_000, 14_999, 15_000)]
    assert seen == [Pass(), Drop(), Drop(), Pass()]
    assert judge(only({"type": "drop", "start": "1 us"}), message(at_ns=10**15)) == Drop()


@pytest.mark.parametrize("toxicity", [0.0, 0.05, 0.5, 0.95])
def test_toxicity_is_a_share_of_messages(toxicity: float) -> None:
    rule = only({"type": "drop", "toxicity": toxicity})
    hit = sum(judge(rule, message(number)) == Drop() for number in range(4_000))
    assert abs(hit / 4_000 - toxicity) < 0.03


def test_chance_belongs_to_seed_rule_and_message_alone() -> None:
    """Asked in any order, or again, a message's fate is the same; sent again, it is another's."""
    fault = {"type": "drop", "toxicity": 0.5}

    def hits(rule: Rule, numbers: list[int], at_ns: int = 0) -> list[int]:
        return sorted(n for n in numbers if judge(rule, message(n, at_ns)) == Drop())

    numbers = list(range(200))
    base = hits(only(fault), numbers)
    assert base == hits(only(fault), numbers[::-1])
    rule = only(fault)
    assert base == hits(rule, numbers) == hits(rule, numbers)
    assert base != hits(only(fault, seed=1), numbers)
    assert base != hits(only(fault), numbers, at_ns=77)
    second = rules("prefill-0", {"type": "drop", "toxicity": 0.0}, fault)["fault-1"]
    assert base != hits(second, numbers)


def test_jitter_is_even_around_the_latency() -> None:
    rule = only({"type": "latency", "attributes": {"latency": "5 us", "jitter": "2 us"}})
    verdicts = [judge(rule, message(number)) for number in range(2_000)]
    delays = [v.delay_ns for v in verdicts if isinstance(v, Delay)]
    assert len(delays) == 2_000 and min(delays) >= 3_000 and max(delays) <= 7_000
    assert abs(sum(delays) / 2_000 - 5_000) < 60 and len(set(delays)) > 1_000


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"type": "drop", "source": "prefil-0"}, "faults.0.source: .*'prefil-0'.*'prefill-0'"),
        ({"type": "drop", "kind": "dispach"}, "faults.0.kind: .*'dispach'.*'dispatch'"),
        ({"type": "drop", "duration": "0 us"}, "faults.0.duration: is 0"),
        (
            {"type": "drop", "source": "router", "destination": "router"},
            "both stand on node router",
        ),
    ],
)
def test_what_could_never_happen_is_refused(fault: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        rules_for(scenario(fault), "gateway", DIRECTORY, Rng(0))


@pytest.mark.parametrize(
    "fault",
    [
        {"type": "latency", "attributes": {"latency": "1 us"}},
        {"type": "bandwidth", "attributes": {"rate": "1 GB/s"}},
        {"type": "duplicate", "attributes": {"delay": "1 us"}},
    ],
)
def test_without_emulation_nothing_can_be_held_back(fault: dict[str, Any]) -> None:
    off = scenario({"type": "drop"}, fault, **{"cluster.emulation": False})
    with pytest.raises(ScenarioError, match=r"faults.1.type: .*turn cluster.emulation on"):
        rules_for(off, "gateway", DIRECTORY, Rng(0))
    off = scenario({"type": "drop"}, {"type": "duplicate"}, **{"cluster.emulation": False})
    assert len(rules_for(off, "gateway", DIRECTORY, Rng(0))) == 2


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        rules(
            "gateway",
            {"type": "drop", "kind": "x"},
            {"type": "drop"},
            {"type": "drop", "kind": "y"},
        )
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "faults.0.kind",
        "faults.2.kind",
    ]


def test_a_rule_about_replies_hits_every_answer_and_one_about_an_answer_s_kind_that_alone() -> None:
    back: dict[str, Any] = {"source": "experts-1", "destination": "prefill-0", "reply_to": 7}
    reply, combine = (
        only({"type": "drop", "kind": kind}, "experts-1") for kind in ("reply", "combine")
    )
    answers = [message(kind=kind, **back) for kind in ("reply", "combine")]
    assert [judge(reply, told) for told in answers] == [Drop(), Drop()]
    assert [judge(combine, told) for told in answers] == [Pass(), Drop()]
    assert judge(reply, message()) == Pass()


def test_every_kind_that_a_cluster_handles_can_be_named() -> None:
    async def job(world: VirtualWorld) -> frozenset[str]:
        return frozenset(
            kind for node in world.nodes.values() for _, kind in node.endpoint.incoming.handlers()
        )

    handled = run(with_cards(), job)
    assert handled | {"reply", "error", "combine"} <= set(kind_words())
    answers = {"reserved", "hits", "pool_blocks", "tokens", "outputs"}
    assert answers <= set(kind_words()) and "parcel" not in kind_words()
