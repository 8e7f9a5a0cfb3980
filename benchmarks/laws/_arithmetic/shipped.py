"""The shipped scenarios as the arithmetic sees them, and what their requests asked and got."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.laws._arithmetic.machine import Link, Machine
from benchmarks.laws._arithmetic.model import Model
from benchmarks.laws._arithmetic.path import Asked, Cluster, Times
from benchmarks.laws._arithmetic.ways import through_demo, through_single
from configs.presets import corpus_folder
from configs.schema import Scenario

if TYPE_CHECKING:  # nothing of the emulator is loaded
    from cluster.workload.build import TimedRequest
    from cluster.workload.driver import Answer

MODEL_FOLDER = Path(__file__).parents[3] / "configs" / "perfuse_tiny" / "model"
STRIPE = 16  # passages that stay together on one memory server
GB = 1_000_000_000


def cluster_of(scenario: Scenario, model: Model) -> Cluster:
    """Its machines; all links are as the router's."""
    nodes = scenario.cluster.nodes
    host = next(node for node in nodes.values() if "router" in node.workers)
    link = Link(float(host.link.latency_ns), float(host.link.bytes_per_s))
    chips = [node for node in nodes.values() if {"chip", "prefill", "decode"} & set(node.workers)]
    experts = next(node for node in nodes.values() if "experts" in node.workers)
    num_shards = experts.count or 1
    each = model.num_experts // num_shards
    servers = [node.device for node in nodes.values() if "memory" in node.workers]
    return Cluster(
        model=model,
        link=link,
        host=Machine(host.device),
        chip=Machine(chips[0].device),
        shards=tuple(tuple(range(i * each, i * each + each)) for i in range(num_shards)),
        is_apart="chip" not in experts.workers,
        num_chips=sum(node.count or 1 for node in chips),
        memory=tuple((Machine(device), device.default_tier) for device in servers),
        passages=_striped(len(servers)) if servers else (),
    )


def expected(
    scenario: Scenario, cluster: Cluster, timed: "TimedRequest", answer: "Answer"
) -> Times:
    """What its answer should have taken."""
    if not cluster.is_apart:
        return through_single(cluster, _asked(scenario, cluster, timed, answer))
    asked = _asked(scenario, cluster, timed, answer)
    return through_demo(cluster, asked, with_pool=scenario.placement.kv_pool)


def _asked(scenario: Scenario, cluster: Cluster, timed: "TimedRequest", answer: "Answer") -> Asked:
    request = timed.request
    question = request.messages[-1]["content"]
    head = [{"role": "system", "content": "\n".join(answer.passages)}] if answer.passages else []
    messages = [*head, {"role": "user", "content": question}]
    tokens = cluster.model.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    assert len(tokens) == answer.num_prompt_tokens, "the same prompt, by another tokenizer"
    # A server finds as many as are asked for; their texts are about as long as the best ones.
    found = [len(text.encode()) + len("cards.txt") for text in answer.passages]
    return Asked(
        request.request_id,
        question,
        scenario.model.name,
        tokens,
        answer.num_cached_tokens,
        answer.token_ids,
        answer.text,
        answer.finish_reason,
        answer.passages,
        request.retrieval.store if request.retrieval else "",
        tuple(tuple(found) for _ in cluster.memory),
    )


def _striped(num_servers: int) -> tuple[int, ...]:
    """How many of the corpus' passages, a line each, each server holds."""
    files = sorted(Path(corpus_folder("perfuse-tiny corpus")).glob("*.txt"))
    count = sum(len(path.read_text().splitlines()) for path in files)
    return tuple(
        sum(1 for i in range(count) if i // STRIPE % num_servers == server)
        for server in range(num_servers)
    )
