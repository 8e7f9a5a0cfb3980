"""What a folded step costs is counted once for steps that ask for as much, and only for those."""

import json
from pathlib import Path

from benchmarks.network._fold_clusters import folded_cluster
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.digests import sized_chip
from cluster.worlds.models import NodeModels
from configs.plan import ChipPlan
from configs.schema import load_scenario
from workers.fold.costs import Costs
from workers.fold.launches import Bench
from workers.hardware.energy.phase import Phase
from workers.host.clock.virtual import VirtualClock

NUMBER = 3  # a latent of 512 and 64 numbers


def test_where_an_index_chooses_it_hangs_on_every_position(tmp_path: Path) -> None:
    """At most 16 keys are met: tokens at 15 and 16 meet 16 each, those at 0 and 31 meet 1 and 16,
    15 latents of 576 fp32 numbers less in each layer. Both add up to 31.
    """
    given = folded_cluster(NUMBER, tmp_path)
    path = Path(given["model"]["path"])
    index = {"index_n_heads": 4, "index_head_dim": 32, "index_topk": 16}
    described = json.loads(path.read_text()) | {"architectures": ["DeepseekV32ForCausalLM"]}
    path.write_text(json.dumps(described | index))
    (scenario := tmp_path / "indexed.yaml").write_text(json.dumps(given))
    blueprint = Blueprint.draw(load_scenario(scenario))
    chip = next(worker for worker in blueprint.plan.workers if isinstance(worker, ChipPlan))
    node = blueprint.plan.node(chip.node)
    model = sized_chip(blueprint, chip, NodeModels(blueprint, node).work(chip), None)
    costs = Costs(model, Bench(node.device, VirtualClock()))
    read = [
        costs.next_of(starts, Phase.DECODE).resources["hbm.read"].asked
        for starts in ([15, 16], [0, 31])
    ]
    assert read[0] - read[1] == 15 * 576 * 4 * described["num_hidden_layers"]
