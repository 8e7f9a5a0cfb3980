"""The socket that a gateway listens on. Loads no web framework."""

import asyncio
import socket

_BACKLOG = 2048
_PORT_MAX = 65_535
# What the kernel keeps of a connection for a client that does not read; its own bound is 4 MB.
_UNSENT_BYTES_MAX = 1 << 18


async def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises ValueError on a port that none can have (getaddrinfo would take it modulo 65,536), and
    OSError naming an address that cannot be had.
    """
    if not 0 <= port <= _PORT_MAX:
        raise ValueError(f"port is {port}: it must be from 0 (a free one) to {_PORT_MAX}")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


def notice_the_dead(listening: socket.socket, timeout_s: float) -> None:
    """Have the kernel end connections whose peer lost power or its network, and says nothing.

    Accepted sockets inherit all of it on Linux; elsewhere, what is missing is left out. Without it
    such a peer shows only when TCP gives up retransmitting, after a quarter of an hour.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "TCP_KEEPIDLE": max(1, round(timeout_s / 2)),
        "TCP_KEEPINTVL": max(1, round(timeout_s / 4)),
        "TCP_USER_TIMEOUT": max(1, round(timeout_s * 1000)),  # milliseconds, unlike the others
    }
    for name, value in values.items():
        option = getattr(socket, name, None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def bound_what_waits(listening: socket.socket) -> None:
    """Accepted sockets inherit it."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT_BYTES_MAX)
