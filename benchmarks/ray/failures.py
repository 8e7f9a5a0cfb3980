"""What is killed and cut off while the cluster serves.

Expected before the first run: a driver matters to nobody. A host that is cut off is given up after
5 s; requests that need it end then, with an error that names it. It answers again within seconds
of being plugged in, and its four nodes are replaced one after the other, 2 s each: 10 s.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.ray.cluster import FREE, cluster
from benchmarks.ray.ray_hosts import Asked, RayHosts
from benchmarks.rows import Row
from configs.perfuse_tiny import load_questions

CUT_S, BACK_S = 10.0, 120.0
# What a request may take at most with emulation off; `blueprint.REAL_DEADLINE_NS`.
DEADLINE_S = 120.0
ASKED = load_questions()[:8]


def run(ray: RayHosts) -> list[Row]:
    with cluster(ray, "failures", FREE) as asked:
        asked.ask("serve")
        return [*_driver_killed(ray, asked), *_cut_off(ray, asked)]


def _chat(asked: Asked) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = asked.ask("chat", [one.question for one in ASKED])
    return told


def _wrong(told: list[dict[str, Any]]) -> int:
    texts = zip((one["text"] for one in told), (one.answer for one in ASKED), strict=True)
    return sum(text is not None and text != right for text, right in texts)


def _driver_killed(ray: RayHosts, asked: Asked) -> list[Row]:
    with ray.attached("failures") as other:
        url = other.ask("serve")
    told = _chat(asked)
    status = ray.perfuse("status", "failures")
    right = sum(one["text"] is not None for one in told) - _wrong(told)
    return [
        Row("answers after the driver was killed -9", f"{right} of {len(told)}", "",
            f"{len(told)} of {len(told)}, status shows it", right == len(told)
            and status.returncode == 0 and url in status.stdout,
            "measured: over HTTP, then `perfuse status`"),
    ]  # fmt: skip


def _cut_off(ray: RayHosts, asked: Asked) -> list[Row]:
    nodes = asked.ask("status")["nodes"]
    before = {node: one["epoch"] for node, one in nodes.items()}
    # Requests are to reach the cluster. Not the first one either, from which they come.
    cut = next(n for n in (2, 1) if ray.hosts.addresses[n] not in nodes["gateway"]["machine"])
    told: list[dict[str, Any]] = []
    ends_s = time.monotonic() + CUT_S

    def ask_on() -> None:
        while time.monotonic() < ends_s:
            told.extend(_chat(asked))
            time.sleep(0.2)

    ray.hosts.cut_off(cut)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(ask_on)
        time.sleep(CUT_S)
        ray.hosts.plug_in(cut)
        plugged_s = time.monotonic()
        asking.result()
    nodes = asked.ask("status")["nodes"]
    while any(one["gone"] for one in nodes.values()) and time.monotonic() - plugged_s < BACK_S:
        time.sleep(0.2)
        nodes = asked.ask("status")["nodes"]
    back_s = time.monotonic() - plugged_s
    again = [node for node, one in nodes.items() if one["epoch"] > before[node]]
    after = _chat(asked)
    wrong = sum(_wrong(told[at : at + len(ASKED)]) for at in range(0, len(told), len(ASKED)))
    longest_s = max(one["took_s"] for one in told)
    errors = sum(one["text"] is None for one in told)
    right = sum(one["text"] is not None for one in after) - _wrong(after)
    held = _let_go(asked)
    return [
        Row("wrong answers while a host is cut off for 10 s", wrong, "", "0", wrong == 0,
            f"measured: {len(told)} requests, {errors} ended with an error, "
            f"the first: {next((one['error'] for one in told if one['error']), 'none')}"),
        Row("the longest of these requests", round(longest_s, 1), "s", f"<= {DEADLINE_S:.0f} s",
            longest_s <= DEADLINE_S, "measured: the deadline of a request"),
        Row("answers after it was plugged in", f"{right} of {len(after)}", "",
            f"{len(after)} of {len(after)}, nothing held",
            right == len(after) and not held and bool(again),
            f"measured: all nodes back after {back_s:.1f} s, new incarnations of "
            f"{', '.join(again)}; held {held}"),
    ]  # fmt: skip


def _let_go(asked: Asked) -> int:
    """What is still held half a minute later, at the latest."""
    held = 0
    for _ in range(300):
        held = sum(asked.ask("held").values())
        if not held:
            break
        time.sleep(0.1)
    return held
