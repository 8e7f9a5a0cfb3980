"""A step of a chip of several ranks, beside hand arithmetic.

Expected, written before the first run:

- A token of a chip of 2 tensor-parallel ranks takes the order, and for each layer the launch over
  half of the heads, a message with the share, a launch for the gate, the experts' messages, and but
  for the first layer a message with the experts' sums to the other rank; then the vocabulary. Of 2
  or 3 stages, even or not: the order, all layers, a launch and a message between two stages, the
  vocabulary.
- As many requests as there are stages take no longer than one of them alone: each is in another
  step, and another stage has it. What they share is one expert shard, whose launches cost nothing
  here: with those of an H100, 2.5 us each, it would be busy for two thirds of the time at 4 stages
  (and was, in the first run: 2.3 and 7.3 % over).
"""

from collections.abc import Iterator, Mapping

from benchmarks.laws._arithmetic.machine import Link, Machine
from benchmarks.laws._arithmetic.model import FP32, Model
from benchmarks.laws._arithmetic.path import ENVELOPE
from benchmarks.rows import Row
from benchmarks.runs import run_in_virtual
from cluster.api.request import Request
from cluster.workload.build import Workload
from cluster.workload.requests import TimedRequest
from cluster.worlds.blueprint import Blueprint
from configs.presets import model_folder
from configs.schema import load_scenario
from workers.model.sampling_params import SamplingParams

ERROR_MAX = 0.01  # of a time by hand

ALONE: Mapping[str, object] = {
    "cluster.nodes.experts.count": 1,
    "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"},
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "placement.kv_pool": False,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
}
PROMPT, ANSWER = 17, 12  # within one block, so that no order names another


def time_rows() -> Iterator[Row]:
    """Time per output token, of one request alone, and of as many as a pipeline has stages."""
    for tensor, pipeline in ((2, 1), (1, 2), (1, 3)):
        yield _time_row(tensor, pipeline, 1)
    for pipeline in (2, 4):
        yield _time_row(1, pipeline, pipeline)


def _time_row(tensor: int, pipeline: int, num_requests: int) -> Row:
    changes = {
        **ALONE,
        "cluster.nodes.chip.tensor_parallel_size": tensor,
        "cluster.nodes.chip.pipeline_parallel_size": pipeline,
    }
    if num_requests > 1:
        changes["cluster.nodes.experts.device"] = {"base": "h100-sxm", "launch_overhead": "0 ns"}
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    sampling = SamplingParams(max_tokens=ANSWER, ignore_eos=True)
    asked = [
        TimedRequest(0, Request(f"r{i}", "perfuse-tiny", sampling, prompt_ids=prompt))
        for i, prompt in enumerate(tuple(range(3 + i, 3 + i + PROMPT)) for i in range(num_requests))
    ]
    run = run_in_virtual(blueprint, Workload(asked, num_requests), "by hand")
    found = [answer.tpot_ns for answer in run.answers]
    found_ns = sum(each or 0 for each in found) / num_requests
    assert all(found), run.answers[0].error
    steps = [by_hand_ns(blueprint, tensor, pipeline, PROMPT + i) for i in range(ANSWER - 1)]
    right_ns = sum(steps) / len(steps)
    beside = "one request alone" if num_requests == 1 else f"{num_requests} requests at once"
    return Row(
        f"time per output token, TP {tensor} PP {pipeline}, {beside}",
        found_ns / 1e3,
        "us",
        f"{right_ns / 1e3:.2f} us by hand, within 1 %",
        abs(found_ns / right_ns - 1) <= ERROR_MAX,
        f"projection: {100 * (found_ns / right_ns - 1):+.2f} % off",
    )


def by_hand_ns(blueprint: Blueprint, tensor: int, pipeline: int, start: int) -> float:
    """A step of one token that stands at `start`, from when it is ordered until it is sampled."""
    model = Model(model_folder("perfuse-tiny"))
    node = blueprint.plan.node("chip-0")
    chip, link = Machine(node.device), Link(node.link.latency_ns, node.link.bytes_per_s)
    order_ns = link.alone(ENVELOPE + 3 * 4 + len("r0") + 3 * 4 + 4)
    rows_ns = link.alone(ENVELOPE + 2 * 4 + model.hidden_size * FP32)
    gate = model.hidden_size * model.num_experts
    kept = model.layer_bytes - (model.layer_weights - gate) * FP32
    launch_ns = chip.run(
        flops=model.attention_flops(start, 1) / tensor,
        reads=(model.layer_weights - gate) * FP32 / tensor
        + kept
        + (start + 1) * model.kv_token_bytes / tensor,
    )
    count, layers = model.num_experts_per_tok, model.num_hidden_layers
    shard = Machine(blueprint.plan.node("experts-0").device)
    shard_ns = shard.run(flops=count * model.expert_flops, reads=count * model.expert_bytes)
    row = 8 + 4 + 8 * count + model.hidden_size * FP32
    experts_ns = link.alone(ENVELOPE + 4 + row) + shard_ns
    experts_ns += link.alone(ENVELOPE + model.hidden_size * FP32)
    gate_ns = merge_ns = (
        node.device.launch_overhead_ns
    )  # launches that declare nothing of their own
    last_ns = chip.run(flops=2 * model.hidden_size * model.vocab_size, reads=model.head_bytes)
    if tensor > 1:
        share_ns = link.alone(ENVELOPE + len("chip-0") + 8 + 4 + model.hidden_size * FP32)
        layer_ns = launch_ns + share_ns + gate_ns + experts_ns
        return order_ns + layers * layer_ns + (layers - 1) * rows_ns + last_ns
    between_ns = (pipeline - 1) * (merge_ns + rows_ns)
    return order_ns + layers * (launch_ns + experts_ns) + between_ns + last_ns
