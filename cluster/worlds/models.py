"""The models of one node's workers: the one place that knows which code computes them.

What a role needs is imported only where that role stands, so that a router never loads a model.
"""

from typing import TYPE_CHECKING

from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan, NodePlan, ShardPlan

if TYPE_CHECKING:
    from workers.model.base import ChipModel, ExpertModel


class NodeModels:
    """Makes each worker's model when asked for it.

    whole   the one chip here holds all experts itself and runs a step as one call; the shard
            beside it has nothing to do and need not stand
    """

    def __init__(self, blueprint: Blueprint, plan: NodePlan) -> None:
        self._blueprint = blueprint
        shards = [worker for worker in plan.workers if isinstance(worker, ShardPlan)]
        chips = [worker for worker in blueprint.plan.workers if isinstance(worker, ChipPlan)]
        self.whole = (
            # A whole step's routing shows only afterwards, and emulated work is declared before.
            not blueprint.scenario.cluster.emulation
            and len(chips) == 1
            and chips[0].role == "chip"
            and chips[0].node == plan.name
            and [len(shard.expert_ids) for shard in shards] == [blueprint.model.num_experts]
        )
        self._experts_here = shards[0] if self.whole else None

    def chip(self, worker: ChipPlan) -> "ChipModel":
        """Raises CheckpointError where the folder does not fit."""
        from workers.model.torch.chip_model import TorchChipModel
        from workers.model.whole import JoinedModel
        from workers.model.work import WorkModel

        blueprint = self._blueprint
        model = TorchChipModel(
            blueprint.folder,
            worker.num_kv_blocks,
            blueprint.scenario.model.block_size,
            WorkModel(blueprint.model, tier=worker.tier, kv_tier=worker.tier),
        )
        if self._experts_here is None:
            return model
        return JoinedModel(model, self.experts(self._experts_here))

    def experts(self, worker: ShardPlan) -> "ExpertModel":
        """Raises CheckpointError where the folder does not fit."""
        from workers.model.torch.expert_model import TorchExpertModel
        from workers.model.work import WorkModel

        work = WorkModel(self._blueprint.model, tier=worker.tier)
        return TorchExpertModel(self._blueprint.folder, worker.expert_ids, work)
