"""A router's journal: as its file is, or as records under lengths and checksums that fit, a line
each: JSON has none within.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from benchmarks.fuzz.target import Target, chosen
from cluster.api.request import Request
from cluster.router.journal.codec import encode
from cluster.router.journal.records import MAGIC, JournalDamaged, pack
from cluster.router.journal.recovery import replay
from cluster.router.machine.chips import ChipState
from cluster.router.machine.events import (
    EVENTS,
    ChipLost,
    DrainBegan,
    PromptPrepared,
    RequestSubmitted,
    RouterRestarted,
)
from cluster.router.machine.state import RouterState
from cluster.text.tokenizer import Tokenizer
from configs.presets import model_folder
from workers.model.sampling_params import SamplingParams

CHIPS = (("p0", "prefill"), ("d0", "decode"), ("d1", "decode"))


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.load(Path(model_folder("perfuse-tiny")))


def _file(data: bytes) -> None:
    replay(MAGIC + data, _tokenizer())


def _records(data: bytes) -> None:
    """The first one left empty is a state in which nothing has happened."""
    records = [record or _fresh() for record in data.split(b"\n")]
    _file(b"".join(pack(number, record) for number, record in enumerate(records)))


def _read(data: bytes) -> None:
    which, said = chosen(data, 2)
    (_file, _records)[which](said)


@cache
def _fresh() -> bytes:
    return encode(RouterState.fresh(16, [ChipState(name, role, 9) for name, role in CHIPS]))


def _events() -> list[bytes]:
    request = Request("r1", "m", SamplingParams(max_tokens=10), prompt="x")
    return [
        encode(RequestSubmitted(1, request, 10**9, "gateway", 1)),
        encode(PromptPrepared(2, "r1", (5, 6, 7), ())),
        encode(ChipLost(3, "d0", 1, "it is silent")),
        encode(DrainBegan(4)),
        encode(RouterRestarted(5, {})),
    ]


def _plain(kind: Any) -> dict[str, Any]:
    """Fields of an event, of the right shape and with nothing in them."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        kind_of = get_origin(hint) or hint
        if kind_of in (int, float, bool):
            found[name] = 1
        elif kind_of is str:
            found[name] = "d0" if name == "chip" else "r1"
        else:
            found[name] = {} if kind_of in (Mapping, dict) else []
    return found


def _seeds() -> Sequence[bytes]:
    events = _events()
    whole = b"".join(pack(number, record) for number, record in enumerate((_fresh(), *events)))
    bare = [f"{kind.__name__} {json.dumps(_plain(kind))}".encode() for kind in EVENTS]
    return [
        b"\0" + whole,
        b"\1" + b"\n".join([b"", *events]),
        *(b"\1" + b"\n".join([b"", *events[:2], one]) for one in bare),
    ]


TARGET = Target(
    "a router's journal, replayed",
    _read,
    (JournalDamaged,),
    _seeds,
    [*(kind.__name__ for kind in EVENTS), "RouterState", "at_ns", "request_id", "r1", "d0", "p0"],
)
