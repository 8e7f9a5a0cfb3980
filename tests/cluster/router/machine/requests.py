"""Requests and machines for tests that see no node."""

from functools import cache
from pathlib import Path
from typing import Any

from cluster.api.request import Request
from cluster.router.machine.chips import ChipState
from cluster.router.machine.machine import Machine
from cluster.router.machine.stages import stages_of
from cluster.router.machine.state import RequestState, RouterState
from cluster.text.tokenizer import Tokenizer
from configs.presets import model_folder
from workers.model.sampling_params import SamplingParams

BLOCK = 16
# Room for three requests of 30 + 10 tokens on each chip that decodes.
CHIPS = (("p0", "prefill"), ("p1", "prefill"), ("d0", "decode"), ("d1", "decode"), ("c0", "chip"))
APART = CHIPS[:4]


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.load(Path(model_folder("perfuse-tiny")))


def asked(name: str, **fields: Any) -> Request:
    """A request; `fields` go to it or to its sampling."""
    sampling: dict[str, Any] = {"max_tokens": 10}
    of_request: dict[str, Any] = {}
    for key, value in fields.items():
        (sampling if key in SamplingParams.__dataclass_fields__ else of_request)[key] = value
    return Request(name, "m", SamplingParams(**sampling), **({"prompt": "x"} | of_request))


def request_state(name: str, **fields: Any) -> RequestState:
    """As just submitted."""
    request = asked(name, **fields)
    return RequestState(request, "gateway", 1, 10**9, stages_of(request), 0)


def fresh(
    chips: tuple[tuple[str, str], ...] = CHIPS, num_blocks: int = 9, watermark: int | None = None
) -> RouterState:
    of_chips = [
        ChipState(name, role, num_blocks, watermark_blocks=watermark) for name, role in chips
    ]
    return RouterState.fresh(BLOCK, of_chips)


def machine(
    chips: tuple[tuple[str, str], ...] = CHIPS, num_blocks: int = 9, watermark: int | None = None
) -> Any:
    """A Machine; Any, since tests know which actions and fields there must be."""
    return Machine(fresh(chips, num_blocks, watermark), tokenizer())
