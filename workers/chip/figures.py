"""What a chip says of itself."""

from collections.abc import Mapping

from workers.chip.scheduler import Scheduler
from workers.chip.stepper import Stepper
from workers.wire.kinds.chip import ChipStateIs


def chip_state(scheduler: Scheduler, held: Mapping[str, int]) -> ChipStateIs:
    """held: see `Chip.held`."""
    return ChipStateIs(
        {
            "num_running": scheduler.num_running,
            "num_waiting": scheduler.num_waiting,
            "num_blocks": scheduler.blocks.num_blocks,
            "num_blocks_free": scheduler.blocks.num_free,
            "num_preemptions": scheduler.num_preemptions,
            "prefix_queries": scheduler.num_prefix_queries,
            "prefix_hits": scheduler.num_prefix_hits,
            **scheduler.roster.elsewhere.figures(),
            **held,
        }
    )


def counts_of(scheduler: Scheduler, stepper: Stepper) -> dict[str, int]:
    """Since start: sequences preempted, and what came of blocks that were evicted or given away."""
    figures = scheduler.roster.elsewhere.figures()
    return {"preemptions": scheduler.num_preemptions, **figures, **stepper.figures}
