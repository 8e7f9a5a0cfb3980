"""Models with states in whole clusters: a state goes with the last block, and has its own room."""

import json
from pathlib import Path

import pytest

from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan
from configs.schema import ScenarioError
from tests.cluster.worlds.cluster import blueprint, prompt, request
from tests.cluster.worlds.handed_over import handed_over
from tests.workers.model.digest.test_states import MODEL, STATE
from workers.model.digest.reference import reference_of
from workers.model.sampling_params import SamplingParams

LENGTH, COUNT, SEQUENCES = 70, 30, 4


def plan_of(folder: Path, changes: dict[str, object]) -> Blueprint:
    path = folder / "model.json"
    path.write_text(json.dumps(MODEL))
    return blueprint(
        {
            "model.path": str(path),
            "model.served_name": "perfuse-tiny",
            "model.numerics": "digest",
            "model.dtype": "bf16",
            "model.num_kv_blocks": 12,
            "model.max_num_seqs": 3,
            "model.max_model_len": 128,
            "model.enable_prefix_caching": False,
            "placement.kv_pool": False,
            "cluster.nodes.decode.count": 1,
            **changes,
        }
    )


@pytest.mark.parametrize("numerics", ["digest", "counts"])
def test_a_state_goes_with_the_last_block(tmp_path: Path, numerics: str) -> None:
    """A prompt of 70 tokens has four blocks of 16, 8,192 B each in bf16, and a fifth with the
    states of two layers. The decode chip has room for 12 blocks: sequences preempt each other, and
    begin again from nothing.
    """
    plan = plan_of(tmp_path, {"model.numerics": numerics, "placement.reserve": "watermark"})
    wanted = [
        request(f"r{i}", prompt_ids=prompt(i % 2, LENGTH), max_tokens=COUNT)
        for i in range(SEQUENCES)
    ]
    tokens, sent, preempted = handed_over(plan, wanted)
    assert [len(each) for each in tokens] == [COUNT] * SEQUENCES
    if numerics == "digest":
        reference = reference_of(plan.model, 16, plan.scenario.seed, plan.scenario.model.routing)
        params = SamplingParams(max_tokens=COUNT, ignore_eos=True)
        asked = [prompt(i % 2, LENGTH) for i in range(SEQUENCES)]
        assert tokens == [list(reference.answer(one, params)) for one in asked]
    thin, last = 64 + 4 * 12 + 1 + 4 * 8192, 64 + 12 + 8192 + 2 * STATE
    assert sent == {thin: SEQUENCES, last: SEQUENCES}
    assert preempted > 0


def test_states_have_room_beside_blocks(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {}).plan
    for worker in plan.workers:
        if isinstance(worker, ChipPlan):
            fills = plan.node(worker.node).fills[worker.kv_tier]
            (kv,) = [fill.num_bytes for fill in fills if fill.what == "kv"]
            assert kv == 12 * 8192 + 3 * 2 * STATE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.enable_prefix_caching": True}, "no block of the prefix cache has a state"),
        ({"placement.kv_pool": True}, "blocks alone are pooled"),
        ({"placement.kv_near": {"keep": 1}}, "a state cannot be met elsewhere"),
        ({"placement.kv_offload": {"tier": "memory"}}, "blocks alone are brought back"),
        ({"cluster.nodes.decode.kv": {"block_size": 32}}, "a last block of the same form"),
        ({"cluster.nodes.decode.tensor_parallel_size": 2}, "a state is not handed over in parts"),
        ({"cluster.nodes.decode.pipeline_parallel_size": 2}, "one may have states alone"),
        (  # of some stages no layer keeps keys
            {"cluster.nodes.decode.pipeline_parallel_size": 4,
             "cluster.nodes.decode.pipeline_layers": [1, 1, 1, 1]},
            "one may have states alone",
        ),
        ({"cluster.fold": "on"}, "layers of the model keep states"),
    ],
)  # fmt: skip
def test_what_is_not_combined_with_states(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        plan_of(tmp_path, changes)
    (found,) = [line for line in caught.value.problems if words in line]
    assert "\n" not in found
