"""The chips of a plan, as a router sees them that has heard nothing yet."""

from cluster.router.machine.chips import ChipState
from configs.plan import ChipPlan, Plan
from workers.wire.membership import Membership


def chips_of(plan: Plan, members: Membership) -> list[ChipState]:
    """All of them, each with the incarnation that lives."""
    chips = []
    for each in plan.workers:
        if isinstance(each, ChipPlan):
            member = members.member(plan.directory[each.name])
            epoch, lives = (member.epoch, True) if member is not None else (0, False)
            chip = ChipState(each.name, each.role, each.num_kv_blocks, epoch, lives)
            chip.watermark_blocks, chip.gives_away = each.watermark_blocks, each.gives_away
            chips.append(chip)
    return chips
