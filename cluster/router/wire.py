"""All that a router says and hears, as calls and values: no other file of it sees a body."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cluster.api.request import Request
from cluster.retrieval.passages import Passage
from cluster.router.machine import actions as act
from cluster.router.machine.actions import Said
from cluster.router.machine.events import Fault
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.machine.state import StoreState
from workers.errors import to_body
from workers.memory.hit import Hit
from workers.node import Node
from workers.wire.calls import Pending, Reply
from workers.wire.message import HEADER_BYTES, Body, Message
from workers.wire.port import Port

# A chip's answer about its state is waited for this share of a call's time.
STATE_SHARE = 2


class Wire:
    """What a router says. Each call is given up after `timeout_ns`, and raises PerfuseError as
    `Port.call` does.
    """

    def __init__(self, node: Node, port: Port, timeout_ns: int) -> None:
        self._clock, self._port, self._timeout_ns = node.clock, port, timeout_ns

    def _deadline_ns(self) -> int:
        return self._clock.now() + self._timeout_ns

    async def _call(self, worker: str, kind: str, body: Body, request_id: str = "") -> Message:
        return await self._port.call(
            worker, kind, deadline_ns=self._deadline_ns(), request_id=request_id, body=body
        )

    # -- to chips ----------------------------------------------------------------------------------

    async def reserve(self, action: act.Reserve) -> int | None:
        """The first block whose KV is wanted; None if there is no room."""
        sequence = action.sequence
        reply = await self._call(
            action.chip, "reserve", _sequence_body(sequence), sequence.sequence_id
        )
        return int(reply.body["first_block"]) if reply.body["room"] else None

    async def prefill(self, action: act.Prefill) -> None:
        sequence = action.sequence
        to = {"decode_chip": action.decode_chip, "first_block": action.first_block}
        body = {**_sequence_body(sequence), **to}
        await self._call(action.chip, "prefill", body, sequence.sequence_id)

    async def generate(self, action: act.Generate) -> None:
        sequence = action.sequence
        body = _sequence_body(sequence)
        await self._call(action.chip, "generate", body, sequence.sequence_id)

    async def abort(self, chip: str, sequence_id: str) -> None:
        await self._call(chip, "abort", {}, sequence_id)

    async def ask_state(self, chip: str) -> Pending:
        """Whoever is silent is given up before whoever asks gives up."""
        deadline_ns = self._clock.now() + self._timeout_ns // STATE_SHARE
        return await self._port.post(chip, "state", deadline_ns=deadline_ns)

    # -- to readers --------------------------------------------------------------------------------

    async def tell_outputs(self, reader: str, said: Sequence[Said]) -> None:
        """In one message, logits beside the body."""
        await self._port.call(
            reader,
            "outputs",
            deadline_ns=self._deadline_ns(),
            body={"outputs": [one.output.to_body() for one in said]},
            tensors={
                str(i): np.frombuffer(one.logits, "<f4")[None]
                for i, one in enumerate(said)
                if one.logits
            },
        )

    # -- to memory servers -------------------------------------------------------------------------

    async def create_store(self, server: str, store_id: str, dim: int) -> None:
        await self._call(server, "store_create", {"store": store_id, "dim": dim})

    async def delete_store(self, server: str, store_id: str) -> None:
        await self._call(server, "store_delete", {"store": store_id})

    async def add_passages(
        self,
        server: str,
        store_id: str,
        ids: Sequence[int],
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        *,
        preloaded: bool,
    ) -> int:
        """Bytes of the store that the server holds then. Preloaded ones were there before time
        began, and cost the link nothing.
        """
        reply = await self._port.call(
            server,
            "store_add",
            deadline_ns=self._deadline_ns(),
            body={
                "store": store_id,
                "texts": [passage.text for passage in passages],
                "file_ids": [passage.file_id for passage in passages],
                "preloaded": preloaded,
            },
            columns={"passage_id": np.array(ids, dtype=np.int64)},
            tensors={"vectors": vectors},
            declared_bytes=HEADER_BYTES if preloaded else 0,
        )
        return int(reply.body["bytes"])

    async def ask_hits(
        self,
        server: str,
        store_id: str,
        queries: NDArray[np.float32],
        top_k: int,
        request_id: str,
    ) -> Pending:
        return await self._port.post(
            server,
            "search",
            deadline_ns=self._deadline_ns(),
            request_id=request_id,
            body={"store": store_id, "top_k": top_k},
            tensors={"queries": queries},
        )


def _sequence_body(sequence: act.Sequence) -> dict[str, Any]:
    return {"prompt_ids": sequence.prompt_ids, "sampling": sequence.sampling.to_body()}


# -- what a router hears -------------------------------------------------------------------------


def request_of(message: Message) -> Request:
    """What a `submit` asks for."""
    return Request.from_body(message.body)


def failures_of(message: Message) -> list[tuple[str, Fault]]:
    """(sequence id, fault) of what a chip's `tokens` says to have failed."""
    return [(name, _plain(fault)) for name, fault in message.body.get("failed", {}).items()]


def tokens_of(message: Message) -> Iterator[SampledToken]:
    """Tokens of one step of one chip, as its `tokens` tells of them."""
    body = message.body
    for index, name in enumerate(body.get("requests", ())):
        finished = body["finished"].get(name, {})
        stage = body["stages"][index]
        times_ns = body["times_ns"][name] if stage == "prefill" else finished.get("times_ns")
        logits = message.tensors.get(name)
        yield SampledToken(
            sequence_id=name,
            stage=stage,
            position=int(message.columns["position"][index]),
            token_id=int(message.columns["token"][index]),
            num_cached=int(body["cached"][index]),
            finish_reason=finished.get("reason", ""),
            times_ns=None if times_ns is None else dict(times_ns),
            logprob=_logprob(body.get("logprobs", {}).get(name)),
            logits=b"" if logits is None else np.asarray(logits, "<f4").tobytes(),
        )


def _logprob(told: Mapping[str, Any] | None) -> Logprob | None:
    if told is None:
        return None
    return Logprob(float(told["logprob"]), tuple((int(i), float(p)) for i, p in told["top"]))


def fault_of(error: Exception) -> Fault:
    """The error as plain data that stays the same when it is written and read."""
    return _plain(to_body(error))


def _plain(told: Mapping[str, Any]) -> Fault:
    fault: Fault = orjson.loads(orjson.dumps(told, default=str))
    return fault


def counts_of(message: Message) -> Mapping[str, int]:
    """What a chip says of its state."""
    return message.body


def hits_of(message: Message) -> list[Hit]:
    """What a memory server found for the one query that it was asked."""
    return [Hit.from_body(hit) for hit in message.body["hits"][0]]


def store_name_of(message: Message) -> str:
    return str(message.body["name"])


def store_id_of(message: Message) -> str:
    return str(message.body["store_id"])


def query_of(message: Message) -> tuple[str, int]:
    """(text, top_k) of a `store_search`."""
    return message.body["query"], message.body["top_k"]


def documents_of(message: Message) -> list[tuple[str, str, str]]:
    """(file id, file name, text) each."""
    return [(row[0], row[1], row[2]) for row in message.body["documents"]]


# -- what it answers -----------------------------------------------------------------------------


def facts(**values: Any) -> Reply:
    return Reply(body=values)


def store_facts(store: StoreState) -> dict[str, object]:
    return {
        "store_id": store.store_id,
        "name": store.name,
        "num_files": len(store.files),
        "num_passages": store.next_passage_id,
        "usage_bytes": sum(store.held_bytes.values()),
    }


def found(hits: Sequence[Hit], names: Mapping[str, str]) -> Reply:
    """Hits with the names of their files."""
    rows = [{**hit.to_body(), "filename": names.get(hit.file_id, "")} for hit in hits]
    return Reply(body={"hits": rows})
