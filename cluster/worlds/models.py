"""The models of one node's workers: the one place that knows which code computes them.

What a role needs is imported only where that role stands, so that a router never loads a model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.worlds.blueprint import Blueprint
from configs.fitting import rough
from configs.layouts import expert_reads
from configs.plan import ChipPlan, NodePlan, PartPlan, ShardPlan

if TYPE_CHECKING:
    from workers.model.base import ChipModel, ExpertModel, RankModel
    from workers.model.local import LocalStep
    from workers.model.work import WorkModel


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
            and blueprint.scenario.model.numerics == "real"
            and blueprint.scenario.placement.kv_near is None
            and len(chips) == 1
            and chips[0].role == "chip"
            and not blueprint.plan.is_split
            and chips[0].node == plan.name
            and [len(shard.expert_ids) for shard in shards] == [blueprint.model.num_experts]
        )

    def chip(self, worker: ChipPlan) -> "tuple[ChipModel, LocalStep | None]":
        """A chip's model, and its step where it is whole. Raises CheckpointError where the folder
        does not fit, ValueError where memory ends.
        """
        if self._blueprint.scenario.model.numerics != "real":
            from cluster.worlds.digests import sized_chip

            return sized_chip(self._blueprint, worker, self.work(worker)), None
        from workers.model.factory import open_apart, open_chip, open_whole

        section, folder = self._blueprint.scenario.model, self._blueprint.folder
        form, work = worker.form, self.work(worker)
        precision = replace(section.precision, kv=form.numbers)
        sizes = worker.num_kv_blocks, form.size, precision, work
        with self._enough_memory():
            if self._blueprint.scenario.placement.kv_near is not None:
                return open_apart(folder, *sizes), None
            return open_whole(folder, *sizes) if self.whole else (open_chip(folder, *sizes), None)

    def rank(self, worker: PartPlan) -> "RankModel":
        """What a rank of a chip holds, or a chip beside others that have ranks: of the same kind.
        Raises as `chip` does.
        """
        if self._blueprint.scenario.model.numerics != "real":
            from cluster.worlds.digests import sized_rank

            return sized_rank(self._blueprint, worker, self.work(worker))
        from workers.model.factory import open_rank

        part = self._blueprint.plan.part(worker)
        sizes = worker.num_kv_blocks, worker.form.size, self.work(worker)
        with self._enough_memory():
            return open_rank(self._blueprint.folder, part, *sizes)

    def experts(self, worker: ShardPlan) -> "ExpertModel":
        """Raises CheckpointError where the folder does not fit, ValueError where memory ends."""
        if self._blueprint.scenario.model.numerics != "real":
            from cluster.worlds.digests import sized_experts

            return sized_experts(self._blueprint, worker, self.work(worker))
        from workers.model.factory import open_experts

        precision = self._blueprint.scenario.model.precision
        with self._enough_memory():
            return open_experts(
                self._blueprint.folder, worker.expert_ids, precision, self.work(worker)
            )

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """An emulated device may have more than this machine; of KV the model itself says so."""
        try:
            yield
        except MemoryError as error:
            section, model = self._blueprint.scenario.model, self._blueprint.model
            wide = replace(model, fp8=None)  # our processes hold fp8 in the numbers of `dtype`
            raise ValueError(
                f"model.path: {section.path} has {rough(section.precision.total_bytes(wide))} of "
                f"weights in {section.precision}, for which this machine's own memory ended: use a "
                "smaller model or smaller numbers (model.dtype, model.quantization)"
            ) from error

    def work(self, worker: PartPlan | ShardPlan) -> "WorkModel":
        """How the work of a worker's launches is counted."""
        from workers.model.work import WorkModel

        precision = self._blueprint.scenario.model.precision
        model, device = self._blueprint.model, self._blueprint.plan.node(worker.node).device
        if isinstance(worker, PartPlan):
            precision = replace(precision, kv=worker.form.numbers)
        work = WorkModel(model, precision, worker.tier)
        if isinstance(worker, PartPlan):
            return replace(
                work,
                kv_tier=worker.kv_tier,
                head_tier=worker.embeddings_tier,
                streams=device.tiers[worker.tier].buffer_bytes is not None,
            )
        return replace(
            work,
            expert_reads=expert_reads(model, precision, device.tiers[worker.tier]),
            engine=worker.engine,
            hot_engine=worker.hot_engine,
            hot_tier=worker.hot_tier,
            hot_reads=expert_reads(model, precision, device.tiers[worker.hot_tier]),
            hot=frozenset(worker.hot_ids),
        )
