"""The default cluster on three hosts, each with a network of its own, two of them with clocks that
are seconds off and drift. One Ray cluster serves all tests of this file, and one cluster of
ours nearly all: raising them is what takes time.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from benchmarks.ray.hosts import hindrance
from benchmarks.ray.ray_hosts import RayHosts, ray_hosts
from cluster.worlds.folder import OWNER, PREFIX
from configs.schema.wires import has_ucx
from tests.cluster.worlds.machines.crowds import (
    compared_with_now,
    decode_nodes,
    expected,
    streams_until,
)
from tests.cluster.worlds.machines.free import FREE
from tests.cluster.worlds.machines.right import (
    ASKED,
    BACK_S,
    RIGHT,
    all_back,
    all_right,
    lets_go,
    right_again,
)
from tests.shared_memory import left_behind, names

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(hindrance()), reason=hindrance()),
]

# Of Ray's actors and groups of resources none is left. Its argument: Ray's address.
NOTHING_STANDS = (
    "import sys; from cluster.worlds.machines.joining import join; join(sys.argv[1])\n"
    "from cluster.worlds.machines.standing import actors, groups\n"
    "assert actors() == [] and groups() == {}, (actors(), groups())"
)
SKEWS = {1: "3 s, 200 ppm", 2: "-3 s, -200 ppm"}
CUT_S = 10.0


@pytest.fixture(scope="module")
def ray() -> Iterator[RayHosts]:
    with ray_hosts(3, SKEWS) as started:
        yield started


@pytest.fixture(scope="module")
def standing(ray: RayHosts) -> Iterator[RayHosts]:
    """With the cluster `demo`, which leaves nothing when it is taken down."""
    done = ray.perfuse("up", "demo", *FREE)
    assert done.returncode == 0, done.stdout + done.stderr
    yield ray
    with ray.attached("demo") as asked:
        pids = asked.ask("pids")
    done = ray.perfuse("down", "demo")
    assert done.returncode == 0, done.stderr
    assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]
    told = ray.run(0, (sys.executable, "-c", NOTHING_STANDS, ray.address))
    assert told.returncode == 0, told.stderr
    assert not _folders(set(pids.values()))


def _folders(pids: set[int]) -> list[Path]:
    """Clusters' folders whose owners were processes of ours."""
    found = []
    for place in (Path("/tmp"), Path("/dev/shm")):
        for folder in place.glob(f"{PREFIX}*"):
            told = (folder / OWNER).read_text().split() if (folder / OWNER).exists() else ["0"]
            found += [folder] if int(told[0]) in pids else []
    return found


def test_what_cannot_be_placed_is_refused_before_anything_starts(ray: RayHosts) -> None:
    other = ("up", "demo", "--name", "other", "--set")
    done = ray.perfuse(*other, "cluster.nodes.experts.machines.spread=true")
    assert done.returncode == 2
    assert "cluster.nodes.experts.machines.spread: asks for a machine for each of 4" in done.stderr
    done = ray.perfuse(*other, "cluster.nodes.decode.machines.cpus=3")
    assert done.returncode == 2
    assert "cluster.nodes.decode.machines.cpus: each node takes 3 of CPU" in done.stderr
    done = ray.perfuse("status", "nobody")
    assert done.returncode == 2 and "no cluster" in done.stderr


def test_it_stands_on_all_and_answers_through_its_endpoint(standing: RayHosts) -> None:
    with standing.attached("demo") as asked:
        told = asked.ask("status")["nodes"]
        assert len({one["machine"] for one in told.values()}) == 3
        assert {one["gone"] for one in told.values()} == {""}
        asked.ask("serve")
        all_right(asked)
        lets_go(asked)
        assert asked.ask("failures") == []


def test_clocks_that_are_seconds_off_are_corrected(standing: RayHosts) -> None:
    """Beside the one clock that all three read in truth: seconds off, and a wall as one."""
    with standing.attached("demo") as asked:
        told = [one["clock"] for one in asked.ask("status")["nodes"].values()]
        ahead_s = [one["ahead_ns"] / 10**9 for one in told if one is not None]
        assert None in told and min(ahead_s) <= -3 and max(ahead_s) >= 3
        off_ms = asked.ask("off_ms")
        within_ms = {
            node: 1.0 + (one["clock"] or {"error_ns": 0})["error_ns"] / 1e6
            for node, one in asked.ask("status")["nodes"].items()
        }
        assert all(abs(off_ms[node]) <= within_ms[node] for node in off_ms), off_ms


def test_status_shows_every_node(standing: RayHosts) -> None:
    done = standing.perfuse("status", "demo")
    assert done.returncode == 0, done.stderr
    for node in ("router", "gateway", "prefill-0", "decode-1", "experts-3", "hbf-0", "pnm-0"):
        assert node in done.stdout


def test_a_name_that_is_taken_is_refused(standing: RayHosts) -> None:
    done = standing.perfuse("up", "demo", *FREE)
    assert done.returncode == 2 and "a cluster of that name stands here" in done.stderr
    done = standing.perfuse("run", "demo", "--attach", "demo")
    assert done.returncode == 2
    assert "cluster.emulation: is True, and the cluster that stands has False" in done.stderr


def test_whoever_serves_may_be_killed(standing: RayHosts) -> None:
    """The endpoint goes on, and the next one who asks finds it."""
    with standing.attached("demo") as asked:
        url = asked.ask("serve")
    with standing.attached("demo") as asked:
        assert asked.ask("status")["url"] == url == asked.ask("serve")
        all_right(asked)


@pytest.mark.parametrize("victim", ["decode-0", "router", "gateway"])
def test_a_process_that_dies_comes_back(standing: RayHosts, victim: str) -> None:
    with standing.attached("demo") as asked:
        asked.ask("serve")
        before = all_back(asked)
        asked.ask("kill", victim)
        ends_s = time.monotonic() + BACK_S
        while (epoch := all_back(asked)[victim]) == before[victim]:
            assert time.monotonic() < ends_s, "nobody noticed"
        assert epoch == before[victim] + 1
        right_again(asked)
        lets_go(asked)


def test_a_host_that_is_cut_off_comes_back_as_another(standing: RayHosts) -> None:
    """While it is away requests end with an error or an answer, none of them wrong."""
    with standing.attached("demo") as asked:
        asked.ask("serve")
        before = all_back(asked)
        machines = {n: one["machine"] for n, one in asked.ask("status")["nodes"].items()}
        # Not the keeper's, through which we ask.
        cut = next(n for n in (1, 2) if machines["gateway"] != _name(standing, machines, n))
        away = [node for node, name in machines.items() if name == _name(standing, machines, cut)]
        standing.hosts.cut_off(cut)
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < CUT_S:
            for one, right in zip(asked.ask("chat", ASKED[:2]), RIGHT, strict=False):
                assert one["text"] == right or one["error"], one
                assert one["took_s"] < 60
            time.sleep(0.5)
        standing.hosts.plug_in(cut)
        after = all_back(asked)
        assert {node for node in after if after[node] > before[node]} >= set(away)
        right_again(asked)
        lets_go(asked)
        assert asked.ask("failures") == []


def _name(standing: RayHosts, machines: dict[str, str], number: int) -> str:
    address = standing.hosts.addresses[number]
    return next(name for name in machines.values() if f"({address})" in name)


def test_decode_chips_come_and_go_while_streams_run(standing: RayHosts) -> None:
    """More of them, and no more of those: nobody notices."""
    right = expected()
    with standing.attached("demo") as asked, ThreadPoolExecutor(1) as thread:
        assert decode_nodes(asked) == ["decode-0", "decode-1"]
        for count in (4, 2):
            done = thread.submit(standing.perfuse, "scale", f"decode={count}", "--name", "demo")
            streams_until(done, asked, right)
            told = done.result()
            assert told.returncode == 0, told.stdout + told.stderr
            assert f"stands with decode {count}" in told.stdout
            assert decode_nodes(asked) == [f"decode-{number}" for number in range(count)]
            compared_with_now(standing)
        assert asked.ask("failures") == []
        assert standing.perfuse("status", "demo").stdout.count("decode-") == count


def test_too_few_resources_are_said_before_anything_changes(standing: RayHosts) -> None:
    done = standing.perfuse("scale", "decode=9000")
    assert done.returncode == 2
    said = "cluster.nodes.decode.machines.cpus: the new nodes together take 89.98 of CPU"
    assert "cluster demo cannot be scaled so:" in done.stderr and said in done.stderr
    with standing.attached("demo") as asked:
        assert decode_nodes(asked) == ["decode-0", "decode-1"]


@pytest.mark.skipif(not has_ucx(), reason="UCX was not in the way: all of the above was gRPC")
def test_by_grpc_with_certificates_it_answers_the_same(ray: RayHosts) -> None:
    before = names()
    done = ray.perfuse("up", "demo", *FREE, "--set", "cluster.transport=grpc", "--name", "grpc")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        with ray.attached("grpc") as asked:
            asked.ask("serve")
            all_right(asked)
    finally:
        done = ray.perfuse("down", "grpc")
    assert done.returncode == 0, done.stderr
    assert not left_behind(before)


def test_nobody_at_the_address_is_said_at_once(ray: RayHosts) -> None:
    command = (sys.executable, "-m", "cluster.cli.main", "up", "demo", "--address")
    begun_s = time.monotonic()
    done: subprocess.CompletedProcess[str] = ray.run(0, (*command, "10.77.31.1:9"))
    assert done.returncode == 2 and time.monotonic() - begun_s < 60
    assert "--address 10.77.31.1:9: no Ray listens there" in done.stderr
