"""The listening server: addresses, ports, and what its sockets inherit."""

import asyncio
import signal
import socket

import httpx
import pytest

from cluster.gateway.http.server import serve
from tests.cluster.gateway.fake_router import FakeRouter, world

pytestmark = pytest.mark.live


def test_port_0_is_a_free_port_and_a_taken_port_is_named():
    async def main():
        async with world() as w:
            assert w.server.port > 0
            other = serve(FakeRouter(), port=w.server.port)
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{w.server.port}"):
                await other.start()
            await other.stop()  # never started: nothing to do

    asyncio.run(main())


def test_the_port_is_free_again_after_stop():
    async def main():
        async with world() as w:
            port = w.server.port
            assert (await w.http.get("/health")).status_code == 200
        again = serve(FakeRouter(), port=port)
        await again.start()
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(f"{again.url}/health")).status_code == 200
        await again.stop()

    asyncio.run(main())


def test_signals_stay_with_whoever_runs_the_loop():
    async def main():
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        async with world():
            assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_connections_notice_a_peer_that_lost_power():
    async def main():
        async with world(stall_timeout_s=8.0) as w:
            await w.http.get("/version")
            (connection,) = w.server._server.server_state.connections
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 4

    asyncio.run(main())


def test_one_connection_serves_many_requests():
    async def main():
        async with world() as w:
            for _ in range(5):
                await w.chat(stream=True)
                await w.chat()
                await w.chat(n="wrong")
            assert len(w.server._server.server_state.connections) == 1

    asyncio.run(main())
