"""Models with windows in whole clusters: what lies behind the windows is neither kept nor sent."""

import json
from pathlib import Path

import pytest

from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan
from tests.cluster.worlds.cluster import blueprint, prompt, request
from tests.cluster.worlds.handed_over import handed_over
from workers.model.digest.reference import reference_of
from workers.model.sampling_params import SamplingParams

# 4 layers, 2 of them with a window of 16 tokens; 2 KV heads of 32 numbers: 256 B a token and layer
# in bf16, so a block of 16 has 16,384 B, and a thin one 8,192 B.
MODEL = {
    "architectures": ["GptOssForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "sliding_window": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 128,
    "max_position_embeddings": 1024,
    "num_experts_per_tok": 2,
    "num_local_experts": 8,
    "vocab_size": 600,
}
LENGTH, COUNT, SEQUENCES = 70, 30, 4


def plan_of(folder: Path, numerics: str) -> Blueprint:
    path = folder / "model.json"
    path.write_text(json.dumps(MODEL))
    return blueprint(
        {
            "model.path": str(path),
            "model.served_name": "perfuse-tiny",
            "model.numerics": numerics,
            "model.dtype": "bf16",
            "model.num_kv_blocks": 18,
            "model.max_model_len": 128,
            "placement.kv_pool": False,
            "cluster.nodes.decode.count": 1,
        }
    )


def answers_of(plan: Blueprint) -> list[list[int]]:
    reference = reference_of(plan.model, 16, plan.scenario.seed, plan.scenario.model.routing)
    params = SamplingParams(max_tokens=COUNT, ignore_eos=True)
    return [list(reference.answer(prompt(i, LENGTH), params)) for i in range(SEQUENCES)]


@pytest.mark.parametrize("numerics", ["digest", "counts"])
def test_what_lies_behind_windows_is_neither_kept_nor_sent(tmp_path: Path, numerics: str) -> None:
    """A prompt of 70 tokens: the first query of decode meets tokens 55 to 70, so blocks 0 to 2 go
    thin and 3 to 4 whole. A sequence of 100 tokens has 7 blocks, of which 2 are whole at most: 18
    of 28 layers of blocks. Four of them have room for 18 blocks (72 layers), all at once; with
    whole blocks two had.
    """
    plan = plan_of(tmp_path, numerics)
    (decode,) = [w for w in plan.plan.workers if isinstance(w, ChipPlan) and w.role == "decode"]
    assert decode.sliding is not None and decode.sliding.pages(LENGTH + COUNT, 16) == 18
    wanted = [
        request(f"r{i}", prompt_ids=prompt(i, LENGTH), max_tokens=COUNT) for i in range(SEQUENCES)
    ]
    tokens, sent, preempted = handed_over(plan, wanted)
    assert [len(each) for each in tokens] == [COUNT] * SEQUENCES
    if numerics == "digest":
        assert tokens == answers_of(plan)
    assert sent == {64 + 3 * 12 + 1 + 3 * 8192: SEQUENCES, 64 + 2 * 12 + 2 * 16384: SEQUENCES}
    assert preempted == 0
