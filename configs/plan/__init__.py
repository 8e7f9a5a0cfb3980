"""From a scenario to the machines that will stand: pure, and where impossible clusters are refused.

    scenario + model config ── make_plan ──▶ Plan ──▶ a world starts exactly these nodes and workers

Nothing is started, read or allocated here. All that is wrong is reported at once, with what would
be right.
"""

from configs.plan.folded import FoldPlan
from configs.plan.make import make_plan
from configs.plan.nodes import (
    ChipPlan,
    MemoryPlan,
    NodePlan,
    PartPlan,
    Plan,
    RankPlan,
    ShardPlan,
    WorkerPlan,
)

__all__ = [
    "ChipPlan",
    "FoldPlan",
    "MemoryPlan",
    "NodePlan",
    "PartPlan",
    "Plan",
    "RankPlan",
    "ShardPlan",
    "WorkerPlan",
    "make_plan",
]
