"""What a message took up is free as soon as nobody needs it, without a look for garbage."""

import gc
import weakref

import numpy as np
import pytest

from configs.schema.device import Sharing
from tests.workers.bench import SECOND_NS, Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire.message import Message


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
def test_a_message_leaves_no_circle_behind(sharing: Sharing) -> None:
    """Two calls at once share the lanes, so that ends are promised, taken back and told. A third
    says that both are concluded: nothing holds what was asked or answered then. Garbage that only
    a look finds was found at a fifth of the time of an exchange.
    """
    asked: list[weakref.ref[object]] = []
    answered: list[weakref.ref[object]] = []

    def parcel(known: list[weakref.ref[object]]) -> Parcel:
        x = np.zeros(1_000, np.uint8)
        known.append(weakref.ref(x))
        return Parcel(tensors={"x": x})

    async def call_twice_and_again(bench: Bench) -> None:
        port = bench.port("a")
        pendings = [await port.post("b", parcel(asked), deadline_ns=SECOND_NS) for _ in range(2)]
        for pending in pendings:
            await pending.reply()
        await port.call("b", Parcel(), deadline_ns=SECOND_NS)

    async def job(bench: Bench) -> None:
        def answer(message: Message[Parcel]) -> Parcel:
            return parcel(answered) if message.content.tensors else Parcel()

        bench.port("b").on(Parcel, answer)
        gc.disable()
        try:
            await call_twice_and_again(bench)
            assert len(asked) == len(answered) == 2
            assert not [ref for ref in (*asked, *answered) if ref() is not None]
        finally:
            gc.enable()

    link = make_link(sharing=sharing)
    Bench("a", "b", links={"a": link, "b": link}).run(job)
