"""Links on which small messages pay more than their bytes, and when what crosses them is there."""

from collections.abc import Sequence
from typing import Any

from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from tests.workers.bench import SECOND_NS, Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire.curve import lane_ns
from workers.wire.message import Message

Sent = tuple[str, str, int, int]  # from, to, at, bytes
SHARINGS: tuple[Sharing, ...] = ("fair", "fifo")
SEGMENTS: dict[str, Any] = {"overhead_ns": 100, "segment_bytes": 1_024, "max_segments": 4}
A_MICROSECOND: dict[str, Any] = {"messages_per_s": 1_000_000}


def curved(sharing: Sharing = "fair", **keys: Any) -> LinkSpec:
    return make_link(sharing=sharing).model_copy(update=keys)


def arrivals(
    sends: Sequence[Sent],
    link: LinkSpec,
    links: dict[str, LinkSpec] | None = None,
    through_frames: bool = False,
) -> list[int]:
    """When each is there. All nodes have `link` but those in `links`."""
    names = sorted({name for sent in sends for name in sent[:2]})
    specs = dict.fromkeys(names, link) | (links or {})

    async def job(bench: Bench) -> list[int]:
        there = [0] * len(sends)

        def note(message: Message[Parcel]) -> None:
            there[message.content.body["number"]] = bench.clock.now()

        async def send(number: int, source: str, to: str, at_ns: int, num_bytes: int) -> None:
            await bench.clock.wait_until(at_ns)
            await bench.port(source).send(to, Parcel({"number": number}, charged=num_bytes))

        for name in names:
            bench.port(name).on(Parcel, note)
        for number, sent in enumerate(sends):
            bench.node(sent[0]).spawn(send(number, *sent), "send")
        await bench.clock.wait_until(SECOND_NS)
        for name in names:
            endpoint = bench.node(name).endpoint
            for way, lane in enumerate((endpoint.egress.lane, endpoint.ingress.lane)):
                crossed = [lane_ns(specs[name], sent[3]) for sent in sends if sent[way] == name]
                assert abs(lane.busy_ns(SECOND_NS) - sum(crossed)) <= len(crossed)
        return there

    return Bench(*names, links=specs, through_frames=through_frames).run(job)
