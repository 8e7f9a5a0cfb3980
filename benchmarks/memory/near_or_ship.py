"""Computing near memory, and switched off: all data are shipped to a chip. The demo's 500 questions
of perfuse-tiny in the virtual world, in exact mode.

Expected before the first run. Answers are equal: the same code adds the same numbers in the same
order, wherever it runs.

Search: 2,200 passages of 4,096 bytes are 9.01 MB that links carry for each question, beside some
KB. Half of them come from behind CXL, 60 GB/s and 6.5 pJ/bit: 75 us and 234 uJ; half over 450 GB/s
and 1.3 pJ/bit: 10 us and 47 uJ. So links take 0.28 mJ a question, which is 141 mJ of all 500, and
near memory next to nothing. Where the PNM server's arithmetic is an engine beside its tier, 4.5 MB
a question cross the tier's bus when they are shipped, and nothing near memory. Servers' tiers are
read all the same; the chip writes and reads 9.01 MB of HBM, 0.49 mJ. Engines do the same
operations, at half the energy on the chip. Of retrieval in all, near memory takes the tiers' 0.51
mJ a question (half at 6.8, half at 7.4 pJ/bit), shipped 1.28 mJ: 2.5 times as much. One question at
a time waits near memory for the HBF: 20 us of latency, 3 us of reading, 1 us of launch, and 4 us
there and back, 28 us and embedding. Shipped, each of five pieces of the HBF is a read of 20 us, 4
us there and back, 2.3 us on the link: 130 us; of CXL's 17.5 us on the link and some 5 more: 115 us.
Scans share the chip, 3 us of launch for each of ten pieces, mostly meanwhile. Then texts are read:
28 us. So 160 us or a little more: 6 times as long.

Experts: each is 98,304 bytes. One question at a time, steps are the same near and shipped, and a
shard's link carries what it reads near memory, and an envelope of 64 bytes for each expert, 0.07 %:
prompts want all eight experts of four layers, 3.1 MB, and each token after that two, 0.79 MB. A
layer of one token takes 7.2 us near: 2 us there, a launch of 3 us, 0.1 us of reading, 2 us back.
Shipped it is 2 us, a launch that reads, 0.4 us on the link, 2 us, and the chip's own launch: 10.5
us, 1.45 times as long. An expert that was read near for 2.7 uJ takes 1.0 uJ of the link and 5.3 uJ
of the chip's memory more, 3.4 times as much. A step's attention and projections take as much as the
two experts of a token or a little more, so all of prefill and decode is 2 times as much for a
token, 2.8 for a prompt, 2.4 together.

The first runs gave 4.49 MB on the bus (1,096 passages are there: stripes of 16 go round), 0.28 mJ
on links, 2.49 times the energy and 6.07 times the time of a search (175 us); 1.50 times the wait
for experts. Their energy was 1.83 times as much, not 2.4: a decode chip reads 2.8 times what its
tokens' experts are (one question at a time 239 and 86 uJ), not as much, and then it is 1.80 times.
"""

from collections.abc import Iterator, Mapping
from statistics import median

from benchmarks.memory.energy import parts_row, whole
from benchmarks.rows import Row
from benchmarks.runs import demo, questions, run_in_virtual
from cluster.reports.energy.balance import Balance
from cluster.runs.run import Run
from cluster.worlds.blueprint import Blueprint

NUM_QUESTIONS, NUM_ALONE = 500, 50
SEARCH: Mapping[str, object] = {"placement.search": "ship"}
EXPERTS: Mapping[str, object] = {"placement.experts.mode": "ship"}
COMPUTED = ("prefill", "decode")
# The PNM server with its arithmetic beside its memory, behind a bus of a tenth of the bandwidth.
# ASSUMED: 2 pJ/bit of it.
BUS_PJ_PER_BIT = 2.0
BUSED: Mapping[str, object] = {
    "cluster.nodes.pnm.device": {
        "base": "pnm-cxl",
        "engines": {
            "near": {"beside": "lpddr", "compute": {"fp32": "4 TFLOP/s"}, "flop_energy": "0.38 pJ"}
        },
        "tiers": {"lpddr": {"bus": "110 GB/s", "bus_energy": f"{BUS_PJ_PER_BIT:g} pJ/bit"}},
    }
}
NUM_PASSAGES, VECTOR_BYTES = 2_200, 4_096
# Of ids, envelopes and what is asked for, beside vectors.
BESIDE_PERCENT = 1.0


def run(changes: Mapping[str, object], num: int, concurrency: int = 8) -> tuple[Run, Blueprint]:
    at_once = {"workload.arrivals.closed.concurrency": concurrency}
    blueprint = Blueprint.draw(demo(num, {**changes, **at_once}))
    return run_in_virtual(blueprint, questions(blueprint, num), "near or shipped"), blueprint


def equal_row(name: str, near: Run, shipped: Run) -> Row:
    pairs = list(zip(near.answers, shipped.answers, strict=True))
    differ = sum(
        a.token_ids != b.token_ids or a.passages != b.passages or not a.token_ids for a, b in pairs
    )
    num_tokens = sum(len(answer.token_ids) for answer in near.answers)
    return Row(
        f"{name} shipped: answers whose tokens or passages differ", differ, "", "0", not differ,
        f"measured: {len(pairs)} answers, {num_tokens:,} tokens, virtual",
    )  # fmt: skip


def link_bytes(told: Run, blueprint: Blueprint, *phases: str) -> float:
    """That all links carried for these phases: each link's energy over that of a byte."""
    return sum(
        reading.dynamic.get("link", {}).get(phase, 0.0)
        / (blueprint.plan.node(node).link.pj_per_bit * 8e-12)
        for node, reading in told.energy.items()
        for phase in phases
    )


def joules_of(told: Balance, *phases: str) -> dict[str, float]:
    """Of links, tiers and engines, for these phases."""
    sums = {"links": 0.0, "tiers": 0.0, "engines": 0.0}
    for component, by_phase in told.by_component.items():
        direction = component.rpartition(".")[2]
        what = "tiers" if direction in ("read", "write", "bus") else "engines"
        what = "links" if component == "link" else what
        sums[what] += sum(by_phase.get(phase, 0.0) for phase in phases)
    return sums


def energy_row(name: str, near: Balance, shipped: Balance, num: int, *phases: str) -> Row:
    """Near is what it is measured against; shipped is expected to take more."""
    ours, theirs = joules_of(near, *phases), joules_of(shipped, *phases)
    ratio = sum(theirs.values()) / sum(ours.values())
    told = "; ".join(
        f"{what} {1e6 * ours[what] / num:.4g} and {1e6 * theirs[what] / num:.4g} uJ"
        for what in ours
    )
    return Row(
        f"{name}: energy, shipped beside near", ratio, "x", "> 1 x", ratio > 1,
        f"projection: a question, near and shipped: {told}",
    )  # fmt: skip


def search_rows() -> Iterator[Row]:
    (near, drawn), (shipped, other) = run({}, NUM_QUESTIONS), run(SEARCH, NUM_QUESTIONS)
    yield equal_row("search", near, shipped)
    more = link_bytes(shipped, other, "retrieval") - link_bytes(near, drawn, "retrieval")
    vectors = NUM_QUESTIONS * NUM_PASSAGES * VECTOR_BYTES
    apart = 100 * (more / vectors - 1)
    yield Row(
        "search: bytes on links, shipped more than near, beside all vectors a question", apart,
        "%", f"within {BESIDE_PERCENT:g} %", abs(apart) <= BESIDE_PERCENT,
        f"projection: {more / NUM_QUESTIONS / 1e6:.4g} MB more a question",
    )  # fmt: skip
    near_told, shipped_told = whole(drawn, near.energy), whole(other, shipped.energy)
    yield energy_row("search", near_told, shipped_told, NUM_QUESTIONS, "retrieval")
    yield parts_row("search near", near_told)
    yield parts_row("search shipped", shipped_told)
    yield from alone_rows("search", SEARCH, "retrieval")


def alone_rows(name: str, changes: Mapping[str, object], what: str) -> Iterator[Row]:
    """One question at a time, so that nobody waits for others."""
    ours, theirs = (
        median(answer.times_ns[what] for answer in run(changed, NUM_ALONE, 1)[0].answers)
        for changed in ({}, changes)
    )
    yield Row(
        f"{name}: {what.replace('_', ' ')}, shipped beside near", theirs / ours, "x", "> 1 x",
        theirs > ours,
        f"projection: {NUM_ALONE} questions one at a time, medians {ours / 1e3:.1f} us near and "
        f"{theirs / 1e3:.1f} us shipped",
    )  # fmt: skip


def shards_bytes(told: Run, blueprint: Blueprint, component: str, pj_per_bit: float) -> float:
    """That a component of all shards' nodes moved for prefill and decode."""
    shards = {blueprint.plan.directory[name] for name in blueprint.plan.names("experts")}
    joules = (told.energy[node].dynamic.get(component, {}) for node in shards)
    return sum(one.get(phase, 0.0) for one in joules for phase in COMPUTED) / (pj_per_bit * 8e-12)


def bus_rows() -> Iterator[Row]:
    """The same with an engine beside the PNM server's tier: what it reads does not cross the bus;
    shipped, half of all vectors do.
    """
    for name, changes, crossing in (
        ("search near, an engine beside its tier", {}, 0.0),
        ("search shipped past that engine", SEARCH, NUM_PASSAGES / 2 * VECTOR_BYTES),
    ):
        told, drawn = run({**BUSED, **changes}, NUM_QUESTIONS)
        by_component = whole(drawn, told.energy).by_component
        bus = by_component.get("lpddr.bus", {}).get("retrieval", 0.0)
        engine = sum(by_component.get("near.fp32", {}).values())
        crossed = bus / (BUS_PJ_PER_BIT * 8e-12) / NUM_QUESTIONS
        holds = abs(crossed - crossing) <= BESIDE_PERCENT / 100 * crossing
        yield Row(
            f"{name}: bytes on the tier's bus a question", crossed / 1e6, "MB",
            f"{crossing / 1e6:.3g} MB within {BESIDE_PERCENT:g} %", holds,
            f"projection: {NUM_QUESTIONS} questions; {1e6 * engine / NUM_QUESTIONS:.3g} uJ of the "
            "engine beside it",
        )  # fmt: skip


def experts_rows() -> Iterator[Row]:
    (near, drawn), (shipped, other) = run({}, NUM_QUESTIONS), run(EXPERTS, NUM_QUESTIONS)
    yield equal_row("experts", near, shipped)
    near_told, shipped_told = whole(drawn, near.energy), whole(other, shipped.energy)
    yield energy_row("experts", near_told, shipped_told, NUM_QUESTIONS, *COMPUTED)
    yield parts_row("experts shipped", shipped_told)
    yield weights_row()
    yield from alone_rows("experts", EXPERTS, "expert_wait")


def weights_row() -> Row:
    """One question at a time, so that steps are the same."""
    (near, drawn), (shipped, other) = run({}, NUM_ALONE, 1), run(EXPERTS, NUM_ALONE, 1)
    node = drawn.plan.node(drawn.plan.directory["experts-0"])
    tier = node.device.default_tier
    read = shards_bytes(near, drawn, f"{tier}.read", node.device.tiers[tier].read_pj_per_bit)
    sent = shards_bytes(shipped, other, "link", node.link.pj_per_bit)
    apart = 100 * (sent / read - 1)
    return Row(
        "experts: bytes on shards' links, shipped, beside the weights that they read near", apart,
        "%", f"within {BESIDE_PERCENT:g} %", abs(apart) <= BESIDE_PERCENT,
        f"projection: {NUM_ALONE} questions one at a time, {sent / NUM_ALONE / 1e6:.4g} MB a "
        "question",
    )  # fmt: skip


def rows() -> Iterator[Row]:
    yield from search_rows()
    yield from bus_rows()
    yield from experts_rows()
