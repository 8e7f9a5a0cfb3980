"""What waits for slow readers is bounded: for one, for all, and in a real process."""

import asyncio
import gc
import socket
import tracemalloc
from functools import partial

import httpx
import psutil
import pytest

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.unread import AllUnread, Unread, bytes_of
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, World, world
from tests.cluster.gateway.served import served
from tests.cluster.gateway.test_disconnect import deaf, post

MIB_BYTES = 1 << 20
SMALL = Output("r", 0, (1,), "x")


def rich(alternatives: int) -> Output:
    top = tuple((300 + i, b"word", -0.5 - i) for i in range(alternatives))
    return Output("request-1", 5, (77_777,), "word", (TokenLogprob(1, b"word", -0.1, top),))


@pytest.mark.parametrize("alternatives", [0, 1, 20])
def test_no_output_takes_more_than_it_counts(alternatives: int) -> None:
    """As it comes from a wire, with nothing shared."""
    bodies = [rich(alternatives).to_body() for _ in range(200)]
    gc.collect()
    tracemalloc.start()
    made = [
        Output.from_body({**body, "request_id": f"request-{i}"}) for i, body in enumerate(bodies)
    ]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(made) <= bytes_of(made[0]) <= 4 * taken / len(made)


def test_a_stream_ends_when_more_waits_than_one_may() -> None:
    ended: list[str] = []
    of_all = AllUnread(10**9)
    unread = Unread(of_all, 3 * bytes_of(SMALL), lambda: ended.append("a"))
    for _ in range(10):  # read as it comes
        assert unread.add(SMALL)
        unread.take(SMALL)
    assert [unread.add(SMALL) for _ in range(3)] == [True] * 3 and not ended
    assert not unread.add(SMALL) and not unread.add(SMALL) and ended == ["a"]
    unread.take(SMALL)  # what comes after the end counts nothing
    assert of_all.num_bytes == 0 == unread.num_bytes and not of_all.streams


def test_of_all_streams_the_one_ends_that_has_most() -> None:
    ended: list[str] = []
    of_all = AllUnread(10 * bytes_of(SMALL))
    streams = {name: Unread(of_all, 10**9, partial(ended.append, name)) for name in "abc"}
    for name, count in (("a", 3), ("b", 5), ("c", 2)):
        assert all(streams[name].add(SMALL) for _ in range(count))
    assert streams["c"].add(SMALL) and ended == ["b"]
    assert of_all.num_bytes == 6 * bytes_of(SMALL)
    streams["a"].close()
    assert of_all.num_bytes == 3 * bytes_of(SMALL) and ended == ["b"]


class Eager(FakeRouter):
    """Outputs come whether they are read or not, as from a cluster."""

    async def submit(self, request, waits=None):
        self.num_open += 1
        self.opened.set()
        try:
            yield Output(request.request_id, 0, (0,), "x")
            position = 1
            while waits is None or waits.add(rich(20)):
                position += 1
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            self.num_open -= 1
            self.closed.set()


@pytest.mark.live
def test_a_client_that_lets_too_much_wait_is_given_up_and_counted() -> None:
    async def main() -> None:
        async with world(Eager(), max_unread_bytes=100_000) as w:
            client = await deaf(w)
            await w.router.until_closed()
            client.abort()
            await _until(w, 'perfuse:slow_clients_total{reason="bytes"} 1.0')
            assert w.server.desk.unread.num_bytes == 0 and not w.server.desk.unread.streams
            text = (await w.http.get("/metrics")).text
            assert 'finished_reason="abort",model_name="perfuse-tiny"} 1.0' in text

    asyncio.run(main())


async def _until(w: World, line: str) -> None:
    async with asyncio.timeout(10):
        while line not in (await w.http.get("/metrics")).text:
            await asyncio.sleep(0.01)


@pytest.mark.live
def test_an_answer_in_one_piece_lists_so_much_and_no_more() -> None:
    async def main() -> None:
        async with world(max_alternatives=2100) as w:
            assert (await w.complete(n=10, max_tokens=10, logprobs=20)).status_code == 200
            refused = await w.complete(n=10, max_tokens=11, logprobs=20)
            assert refused.status_code == 400
            assert "list 2310: at most 2100 fit an answer in one piece" in refused.text
            for fine in ({"stream": True, "logprobs": 20}, {"n": 64}):
                assert (await w.complete(**{"n": 10, "max_tokens": 300, **fine})).status_code == 200
            # An answer is no longer than the context, 512 here, whatever was asked for.
            assert (await w.complete(n=4, max_tokens=10**6, logprobs=0)).status_code == 200

    asyncio.run(main())


@pytest.mark.live
@pytest.mark.timeout(600)
def test_many_clients_that_read_nothing_cost_a_bounded_amount() -> None:
    """12 clients, 16 choices of 900 tokens with 20 alternatives each: some 600 MB, unbounded."""
    with served("--model", "perfuse-tiny", "--max-num-seqs", "64") as (process, url):
        server = psutil.Process(process.pid)
        ask = {"model": MODEL, "prompt": "a", "max_tokens": 900, "n": 64, "ignore_eos": True}
        # What the model itself needs for so many is there before.
        httpx.post(f"{url}/v1/completions", json=ask, timeout=300).raise_for_status()
        before = server.memory_info().rss
        more = {"n": 16, "max_tokens": 900, "logprobs": 20, "ignore_eos": True, "stream": True}
        clients = [_silent(int(url.rsplit(":", 1)[1]), post(**more)) for _ in range(12)]
        most, ended = 0, 0.0
        while ended < len(clients):
            most = max(most, server.memory_info().rss - before)
            ended = _given_up(url)
        for client in clients:
            client.close()
        assert most < 100 * MIB_BYTES
        answer = httpx.post(f"{url}/v1/completions", json={**ask, "max_tokens": 9}, timeout=60)
        assert answer.status_code == 200


def _silent(port: int, request: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    return client


def _given_up(url: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("perfuse:slow_clients_total")
    )
