"""gRPC as its wire needs it; the only file that knows the library.

Bytes go in and come out: no serialisers, no generated stubs. How gRPC says that a stream ended, or
that one is refused, becomes words here and nowhere else.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from configs.certificates import Certificates
from workers.wire.transport.limits import CONNECT_TIMEOUT_S, MESSAGE_BYTES_MAX

# gRPC's older poller passes each event through fewer threads than its event engine: a sparse
# message costs 190 us of CPU (both ends) instead of 245, a round trip on loopback 300 us instead of
# 420 (`benchmarks/transport.py`). gRPC reads this once, when it is imported; whoever has set it, or
# has imported gRPC before, keeps what they have. It is taken back so that child processes (Ray has
# a gRPC of its own) do not inherit it.
#
# Its log has a line for each stranger that does not finish TLS, without saying who: not on a
# server's standard error.
_WHILE_LOADING = {
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
    "GRPC_VERBOSITY": "ERROR",
}
_ours = [name for name in _WHILE_LOADING if name not in os.environ]
os.environ.update({name: _WHILE_LOADING[name] for name in _ours})
import grpc  # noqa: E402
from grpc import aio  # noqa: E402

for _name in _ours:
    del os.environ[_name]

# The version of the wire is part of the service's name: another one has no such service.
VERSION = 2
SERVICE, METHOD = f"perfuse.v{VERSION}.Wire", "Exchange"

# A peer that is silent for this long is pinged: finds machines that vanished without a reset.
KEEPALIVE_MS = 10_000
# Who has connected and opens no stream, or does not finish TLS, is sent away after so long.
STRANGER_MS = int(CONNECT_TIMEOUT_S * 1000)
STREAMS_MAX = 8  # of one connection; a peer has one
CONNECTIONS_MAX = 4096  # of peers and strangers together; beyond that one is closed at once

OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    # A new dial is a new connection, without the old one's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.so_reuseport", 0),
)
SERVER_OPTIONS = (
    *OPTIONS,
    ("grpc.server_handshake_timeout_ms", STRANGER_MS),
    ("grpc.max_connection_idle_ms", STRANGER_MS),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
)

# How a read or a write says that there is no stream any more.
ENDS = (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError)
EOF = aio.EOF

Metadata = tuple[tuple[str, bytes], ...]
Accept = Callable[[Any, Any], Awaitable[None]]


def make_server(accept: Accept) -> Any:
    """A server whose one method is `accept(requests, stream)`."""
    server = aio.server(options=SERVER_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(accept)
    methods = grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})
    server.add_generic_rpc_handlers((methods,))
    return server


def listen(server: Any, address: str, certificates: Certificates | None) -> int:
    """The port at which it listens. Raises OSError where it cannot."""
    try:
        if certificates is None:
            return int(server.add_insecure_port(address))
        pair = (certificates.key, certificates.certificate)
        shown = grpc.ssl_server_credentials([pair], certificates.ca, require_client_auth=True)
        return int(server.add_secure_port(address, shown))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address!r}: {error}") from error


def open_channel(address: str, certificates: Certificates | None) -> Any:
    """The way to one address; nothing connects yet."""
    if certificates is None:
        return aio.insecure_channel(address, options=OPTIONS)
    shown = grpc.ssl_channel_credentials(
        certificates.ca, certificates.key, certificates.certificate
    )
    return aio.secure_channel(address, shown, options=OPTIONS)


def open_stream(channel: Any, hello: Metadata) -> Any:
    """A stream, both ways, that begins with what the dialler says of itself."""
    return channel.stream_stream(f"/{SERVICE}/{METHOD}")(metadata=hello)


async def refuse(stream: Any, reason: str) -> None:
    """Send who dialled away, with the reason; raises, which ends its stream."""
    await stream.abort(grpc.StatusCode.UNAUTHENTICATED, reason)


async def cross(stream: Any) -> None:
    """The same, because this node's own dial stands."""
    await stream.abort(grpc.StatusCode.ALREADY_EXISTS, "the acceptor's stream stands")


async def is_crossed(stream: Any) -> bool:
    """Whether that is how it ended."""
    return bool(await stream.code() is grpc.StatusCode.ALREADY_EXISTS)


async def is_unreachable(stream: Any) -> bool:
    """Whether there was no connection to begin with."""
    return bool(await stream.code() is grpc.StatusCode.UNAVAILABLE)


async def ending(stream: Any) -> str:
    """Why a stream ended before it began."""
    return _words(await stream.code(), await stream.details())


def reason_of(error: Exception) -> str:
    """gRPC's errors as a reason for on_peer_dead and PeerDead."""
    if isinstance(error, aio.AioRpcError):
        return _words(error.code(), error.details())
    return f"{type(error).__name__}: {error}"


def _words(code: Any, details: str | None) -> str:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"it speaks another version of the wire: this node speaks {VERSION}"
    return f"{code.name}: {details}"
