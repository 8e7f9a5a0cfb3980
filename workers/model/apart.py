"""The launches of a layer of which some keys are elsewhere."""

from typing import NamedTuple

from workers.hardware.work import Work


class Apart(NamedTuple):
    """A layer of a step in which some keys are elsewhere: its three launches."""

    queries: Work
    own: Work
    values: Work
