"""Latency hidden by a second micro-batch: `python -m benchmarks.wires.hidden [--json FILE]`.

Sixteen sequences decode on one chip beside one shard of all experts. Attention of all of them takes
a = 15 ms a layer, their experts as long, in proportion to rows (no launch overhead, weights read in
less than a microsecond), and every link l = 5 ms. One micro-batch of sixteen, and two of eight.

Expected before the first run. With one micro-batch a layer is a chain: attention, there, experts,
back, a + l + a + l = 40 ms. With two, A and B, each computes a / 2 = 7.5 ms:

    chip    A 0 - 7.5   B 7.5 - 15      idle        A 25 - 32.5 ...
    shard           A 12.5 - 20   B 20 - 27.5       ... back at 25 and 32.5

A is back after a / 2 + l + a / 2 + l = a + 2 l = 25 ms, when the chip has long been free of B (at
15), and so is the shard of A when B comes (at 20): nobody waits for the other half, and a layer
takes 25 ms, (2 a + 2 l) / (a + 2 l) = 1.6 times less. That holds as long as neither machine would
have to work for longer than a layer takes, a <= a + 2 l: always. Sampling follows once for both, so
a step ends with B's last layer, 7.5 ms after A's: a tail that weighs the less the more layers there
are. With 48, as many as Qwen3-30B-A3B has, and 0.8 ms of logits, a token takes 48 x 40 + 0.8 =
1,920.8 ms and 48 x 25 + 7.5 + 0.8 = 1,208.3 ms: 1.590, 0.6 % below 1.6. The wall adds the lateness
of an answer, not of each layer, for time chains from due times: 1.55 and more.

What a user sees is compared: the median time between tokens, in virtual time and in processes of
their own. (The first request decodes a step before the others, so at the end fifteen decode alone:
a mean over all tokens would be of steps of other sizes too.) Tokens must be the same.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

from benchmarks.fixed import lengths, run_there
from benchmarks.peers.make_model import CONFIG, make_model
from benchmarks.rows import Row, arguments, report
from cluster.runs.run import Run
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

WORLDS = ("virtual", "local")
NUM_LAYERS, NUM_SEQUENCES, NUM_TOKENS = 48, 16, 5
DILATION = 3.0  # so slow that two loaded cores keep up
# (2 a + 2 l) / (a + 2 l) with a = 15 ms and l = 5 ms.
EXPECTED = 1.6
VIRTUAL_PART, LOCAL_LEAST = 0.02, 1.5
SIZES: Mapping[str, object] = {
    "hidden_size": 64,
    "head_dim": 32,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "vocab_size": 64,
    "max_position_embeddings": 256,
}
# Multiply-adds of a row in a layer: H (Q + 2 KV) + Q H, and 3 H I of each of two experts. Both in
# bf16; pairs and gates are fp32, at the preset's rate, in less than a microsecond.
ATTENTION_FLOPS = 2 * (64 * (512 + 2 * 64) + 512 * 64)
EXPERTS_FLOPS = 2 * 6 * 64 * 64
LAYER_US = 15_000


def device(flops_a_row: int) -> dict[str, object]:
    """Takes LAYER_US over NUM_SEQUENCES rows."""
    rate = flops_a_row * NUM_SEQUENCES * 1_000_000 // LAYER_US
    compute = {"bf16": f"{rate / 1e6} MFLOP/s"}
    return {
        "base": "h100-sxm", "compute": compute, "compute_efficiency": 1.0,
        "launch_overhead": "0 ns",
    }  # fmt: skip


def drawn(
    world: str,
    micro_batches: Literal[1, 2],
    model: Path,
    num_tokens: int = NUM_TOKENS,
    dilation: float = DILATION,
) -> Blueprint:
    link = {"base": "ideal-1us", "latency": "5 ms"}
    nodes: dict[str, object] = {
        "host": {"workers": ["router", "gateway"], "device": "host-cpu", "link": link},
        "chip": {"workers": ["chip"], "device": device(ATTENTION_FLOPS), "link": link},
        "experts": {"workers": ["experts"], "device": device(EXPERTS_FLOPS), "link": link},
    }
    changes: dict[str, object] = {
        "cluster.world": world,
        "cluster.dilation": dilation if world == "local" else 1,
        "model.path": str(model),
        "model.dtype": "bf16",
        "model.kv_cache_dtype": "fp32",
        "model.num_kv_blocks": 64,
        "model.micro_batches": micro_batches,
        **lengths(2, num_tokens),
        "workload.arrivals.closed.concurrency": NUM_SEQUENCES,
        "workload.arrivals.closed.num_requests": NUM_SEQUENCES,
        "workload.sampling.ignore_eos": True,
        "slo.deadline": "600 s",
    }
    changes |= {f"cluster.nodes.{name}": node for name, node in nodes.items()}
    return Blueprint.draw(load_scenario("single", changes))


def make(folder: Path, num_layers: int = NUM_LAYERS) -> Path:
    """A random model of so many layers, the same every time."""
    make_model(folder, 1, {**CONFIG, **SIZES, "num_hidden_layers": num_layers})
    return folder


def token_ms(run: Run) -> float:
    """The median from a token to the next: the first request waits for the others' prefill, and
    when it ends, the others have one step more with fewer rows.
    """
    assert not any(answer.error for answer in run.answers)
    return median(gap_ns for answer in run.answers for gap_ns in answer.itl_ns) / 1e6


def compared(world: str, model: Path, dilation: float = DILATION) -> Row:
    begun_s = perf_counter()
    one = run_there(drawn(world, 1, model, dilation=dilation))
    two = run_there(drawn(world, 2, model, dilation=dilation))
    ratio = token_ms(one) / token_ms(two)
    same = [a.token_ids for a in one.answers] == [a.token_ids for a in two.answers]
    holds = (
        abs(ratio / EXPECTED - 1) <= VIRTUAL_PART if world == "virtual" else ratio >= LOCAL_LEAST
    )
    how = "projection: emulated" if world == "virtual" else f"measured: dilation {dilation:g}"
    return Row(
        f"5 ms links hidden by a second micro-batch, {world}",
        round(ratio, 3),
        "x",
        "1.6 within 2 %, tokens equal" if world == "virtual" else ">= 1.5, tokens equal",
        holds and same,
        f"{how}, a token takes {token_ms(one):.1f} and {token_ms(two):.1f} ms, tokens "
        f"{'equal' if same else 'differ'}; {perf_counter() - begun_s:.0f} s",
    )


def run(worlds: Sequence[str] = WORLDS, dilation: float = DILATION) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        model = make(Path(name) / "model")
        return [compared(world, model, dilation) for world in worlds]


def main() -> int:
    parser: argparse.ArgumentParser = arguments("Latency hidden by a second micro-batch.")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--dilation", type=float, default=DILATION, help="of the local world")
    options = parser.parse_args()
    return report(run(options.worlds, options.dilation), options.json, "Hidden latency")


if __name__ == "__main__":
    sys.exit(main())
