"""How the tokens that a step samples are to be chosen."""

from typing import NamedTuple

from workers.model.sampling_params import SamplingParams
from workers.model.shaper import Shaper


class Wanted(NamedTuple):
    """Of one sequence: what its request says, and what changes its logits, if anything does."""

    params: SamplingParams
    shaper: Shaper | None


ANY = Wanted(SamplingParams(), None)  # of what was aborted since: nobody looks at its token
