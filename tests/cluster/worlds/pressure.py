"""A few requests, one by one, on chips that cannot hold them all to their ends."""

from collections.abc import Mapping
from functools import cache

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import blueprint, prompt
from workers.host.trace import Noted
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

# 14 blocks of 16 for requests of 40 + 50 tokens, of 3 blocks in the beginning and 6 in the end:
# four come in, as 3 x 3 + 3 + 1 <= 14, and two of them fit to their ends.
FEW: Mapping[str, object] = {
    "placement.reserve": "watermark",
    "model.num_kv_blocks": 14,
    "model.max_model_len": 224,
}
BOTH = {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"}
PLACES: Mapping[str, Mapping[str, object]] = {
    "decode": {"cluster.nodes.decode.count": 1},
    "chip": {
        "cluster.nodes.prefill": None,
        "cluster.nodes.decode": None,
        "cluster.nodes.chip": BOTH,
    },
}


@cache
def expected(number: int, length: int = 40, max_tokens: int = 50) -> list[int]:
    params = SamplingParams(max_tokens=max_tokens, ignore_eos=True)
    folder = blueprint(PLACES["chip"]).folder
    return list(Reference(folder).generate(prompt(number, length), params).token_ids)


def preempted(world: VirtualWorld) -> list[Noted]:
    return [r for r in world.trace.records if isinstance(r, Noted) and r.what == "preempted"]
