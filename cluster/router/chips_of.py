"""The chips of a plan, as a router sees them that has heard nothing yet."""

from cluster.router.incarnations import living
from cluster.router.machine.chips import ChipState
from configs.plan import ChipPlan, Plan
from workers.wire.membership import Membership


def chips_of(plan: Plan, members: Membership) -> list[ChipState]:
    """All of them, each with the incarnation that lives."""
    chips = []
    for each in plan.workers:
        if isinstance(each, ChipPlan):
            epoch = living(members, each.name)
            lives = epoch is not None
            chip = ChipState(each.name, each.role, each.num_kv_blocks, epoch or 0, lives)
            chip.granules = each.form.size // plan.common_tokens
            chip.watermark_blocks, chip.gives_away = each.watermark_blocks, each.gives_away
            if each.sliding is not None and each.watermark_blocks is None:
                chip.layers, chip.windowed = each.sliding.layers, each.sliding.windowed
                chip.whole_most = each.sliding.whole_most(each.form.size)
                chip.num_blocks *= chip.layers
            chips.append(chip)
    return chips
