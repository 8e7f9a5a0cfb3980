"""What links cost each message, as a whole cluster feels it: one request at a time, one chip."""

from collections.abc import Mapping
from statistics import median

import pytest

from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

CHIP = "cluster.nodes.chip.link"


def answers(changes: Mapping[str, object], base: str = "single") -> list[Answer]:
    closed = {"closed": {"concurrency": 1, "num_requests": 4}}
    blueprint = Blueprint.draw(load_scenario(base, {"workload.arrivals": closed, **changes}))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    return run_in_virtual(blueprint, workload, lambda _: None).answers


def ttfts_ns(found: list[Answer]) -> list[int]:
    return [answer.ttft_ns or 0 for answer in found]


@pytest.mark.parametrize(
    ("keys", "more_ns"),
    [
        ({"overhead": "5 us"}, 2 * 5_000),  # at the ingress there, at the egress back
        ({"startup": "5 us"}, 5_000),  # of what the chip sends
        ({"latency": "7 us"}, 2 * 5_000),  # as it has always been: 7 us for 2
        ({"message_rate": "200 kmsg/s"}, 2 * 5_000),  # but what its bytes take beside
    ],
)
def test_a_first_token_pays_it_there_and_back(keys: Mapping[str, str], more_ns: int) -> None:
    """A request crosses the chip's link once each way before its first token. Bytes take some 10
    ns at 450 GB/s, which a message's turn contains.
    """
    plain = answers({})
    dear = answers({f"{CHIP}.{key}": value for key, value in keys.items()})
    assert [a.token_ids for a in dear] == [a.token_ids for a in plain]
    # Later ones meet what acknowledges the last tokens of the one before.
    assert more_ns - 20 <= ttfts_ns(dear)[0] - ttfts_ns(plain)[0] <= more_ns + 2
    # Reports stream: what each pays shows in none's distance from the one before.
    assert median(a.tpot_ns or 0 for a in dear) == median(a.tpot_ns or 0 for a in plain)


def test_experts_behind_a_measured_link_change_no_token() -> None:
    """Everything of a disaggregated cluster crosses it; no message is charged less than before."""
    links = [f"cluster.nodes.{group}.link" for group in ("prefill", "decode", "experts")]
    none = {"placement.collections": None, "workload.prompts.questions.retrieval": None}
    line = {"name": "x", "latency": "4.08 us", "bandwidth": "41.7 GB/s"}
    plain = answers({**none, **dict.fromkeys(links, line)}, "demo")
    dear = answers({**none, **dict.fromkeys(links, "ib-mooncake")}, "demo")
    assert [a.token_ids for a in dear] == [a.token_ids for a in plain]
    for found_ns, plain_ns in zip(ttfts_ns(dear), ttfts_ns(plain), strict=True):
        assert found_ns > plain_ns


def test_a_call_has_the_time_that_its_messages_take() -> None:
    """Three round trips of the longest path: 2 us, and a second for each message's turn."""
    drawn = Blueprint.draw(load_scenario("single", {f"{CHIP}.message_rate": "1 msg/s"}))
    assert drawn.timeout_ns == 3 * 2 * (2_000 + 10**9)
