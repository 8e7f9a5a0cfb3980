"""What engines, tiers and links say alike: how it is shared, and how much of a peak is reached."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from configs.units import Ratio

# How those who want a resource at once share it: first come, first served; or all of them together,
# each with an equal part.
Sharing = Literal["fifo", "fair"]

# Nobody's device sustains less than a thousandth of its peak.
LEAST_EFFICIENCY = 0.001


def _efficiency(value: float) -> float:
    if not LEAST_EFFICIENCY <= value <= 1:  # also where it is no number
        raise ValueError(
            f"{value!r} is no efficiency: it is the share of a peak that is reached, "
            f"from {LEAST_EFFICIENCY:.1%} to 100 %"
        )
    return value


Efficiency = Annotated[Ratio, AfterValidator(_efficiency)]
