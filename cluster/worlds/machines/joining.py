"""Joining a Ray cluster that runs, or one that is started here and outlives the command.

Ray reads its settings when it is loaded: whoever joins calls `join` before anything imports ray, so
this file imports it late.
"""

import logging
import os
import signal
import subprocess
import sys
import threading

from cluster.worlds.machines.names import NAMESPACE
from cluster.worlds.machines.own_ray import (
    ADDRESS,
    HERE,
    MODE,
    TOKEN,
    OwnRay,
    Use,
    clear,
    one_at_a_time,
    own_ray,
    start_here,
    why_unreached,
)

ANSWER_S = 10.0
# Whether whoever listens speaks gRPC, as Ray's head does, and lets in who shows no token.
_PROBE = """
import grpc, sys
channel = grpc.insecure_channel(sys.argv[1])
try:
    grpc.channel_ready_future(channel).result(timeout=float(sys.argv[2]))
    channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=float(sys.argv[2]))
except grpc.FutureTimeoutError:
    print("MUTE")
except grpc.RpcError as error:
    print(error.code().name)
"""
# The one that was started here, if this process has joined that one.
_joined: "list[tuple[OwnRay, Use]]" = []


def join(address: str | None, *, starts: bool = False) -> None:
    """Become a driver of the Ray cluster at `address`, or where RAY_ADDRESS says, or of the one
    that was started here, which is started if there is none and `starts`.

    Raises ValueError with what is wrong at that address and what would be right.
    """
    is_late = "ray" in sys.modules
    named = "--address " if address else f"{ADDRESS}="
    address = address or os.environ.get(ADDRESS) or None
    if address is None:
        with one_at_a_time():
            use, own_one = Use(), own_ray() or (start_here() if starts else None)
        if own_one is None:
            raise ValueError(
                "no Ray cluster is known: give --address HOST:PORT, set RAY_ADDRESS, or let "
                "`perfuse up` start one here"
            )
        assert not is_late, "Ray has read its settings already, and would look elsewhere"
        os.environ.update(HERE)
        os.environ[MODE], os.environ[TOKEN] = "token", own_one.token
        address = own_one.address
        _joined.append((own_one, use))
    else:
        _check_listens(address, named + address)
        _check_answers(address, named + address)
    _init(address, named + address)


def _check_listens(address: str, named: str) -> None:
    """Ray itself waits long for nobody."""
    if address == "auto":
        return
    host, sign, port = address.rpartition(":")
    if not sign or not port.isdigit() or "/" in host:
        raise ValueError(
            f"{named}: must be HOST:PORT or auto; commands run on a host of the Ray "
            "cluster, not through Ray's client (ray://)"
        )
    if error := why_unreached(host, int(port)):
        raise ValueError(
            f"{named}: no Ray listens there ({error}): `ray start --head` prints the "
            "address of a cluster that it starts"
        ) from error


def _check_answers(address: str, named: str) -> None:
    """Ray waits for ever for who listens and says nothing, and for a Ray that wants a token."""
    if address == "auto" or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    command = (sys.executable, "-c", _PROBE, address, str(ANSWER_S))
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=6 * ANSWER_S
    ).stdout.strip()
    if said == "MUTE":
        raise ValueError(
            f"{named}: who listens there does not speak as Ray's head does: is it the "
            "port that `ray start --head` was given (--port)?"
        )
    if said == "UNAUTHENTICATED" and os.environ.get(MODE) != "token":
        raise ValueError(f"{named}: {_explained(RuntimeError('it wants a token'))}")


def _init(address: str, named: str) -> None:
    import ray

    from cluster.worlds.job import job_of_ours

    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            logging_level=logging.ERROR,
            log_to_driver=False,
            configure_logging=False,
            job_config=job_of_ours(),
        )
    except Exception as error:  # Ray raises whatever its parts raise
        raise ValueError(f"{named}: {_explained(error)}") from error
    finally:  # Ray's own ends the process where it stands
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _explained(error: Exception) -> str:
    said = str(error).strip()
    if "ersion mismatch" in said:
        return f"{said}: install the same version of Ray and of Python on all machines"
    if "uthenticat" in said or "UNAUTHENTICATED" in said or "token" in said.lower():
        return (
            f"Ray there wants a token, and this one it does not know: {said}: set {MODE}=token and "
            f"{TOKEN} to the one with which it was started"
        )
    return f"Ray could not be joined: {type(error).__name__}: {said}"


def end_unused_ray() -> bool:
    """End the Ray cluster that was started here, if it is the one that this process has joined,
    nobody else has, and no cluster of ours is on it: its processes, then its files. Whether it was.
    """
    if not _joined:
        return False
    import ray

    from cluster.worlds.machines.standing import clusters

    with one_at_a_time():
        if clusters():
            return False
        own_one, use = _joined.pop()
        if not use.end():
            return False
        ray.shutdown()
        clear(own_one)
    return True
