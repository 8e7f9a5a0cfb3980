"""Streams on which nothing is said."""

import socket
from typing import Any, cast

from workers.wire.transport import door


class Stream:
    def __init__(self, family: socket.AddressFamily) -> None:
        self.socket = socket.socket(family)

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self.socket


def test_a_peer_that_is_gone_without_a_word_is_noticed_within_a_minute() -> None:
    """By the kernel: the first probe after so long, then as many more at their intervals."""
    stream = Stream(socket.AF_INET)
    with stream.socket:
        door._keep_alive(cast(Any, stream))
        option = stream.socket.getsockopt
        assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle_s, probes, every_s = (
            option(socket.IPPROTO_TCP, number)
            for number in (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_KEEPINTVL)
        )
    assert (idle_s, probes, every_s) == (door.KEEPALIVE_S, door.KEEPALIVE_PROBES, door.PROBE_S)
    assert idle_s + probes * every_s <= 60


def test_within_a_machine_the_kernel_says_so_itself() -> None:
    stream = Stream(socket.AF_UNIX)
    with stream.socket:
        door._keep_alive(cast(Any, stream))
