"""What else a folded chip's machine and link do, worked out by hand: a byte of memory takes 1 ps,
one of a link 1 ns.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from configs.presets import expand
from configs.schema import DeviceSpec
from kernels.fold import Chosen, Engine, FoldEngine, Link, PlainEngine, Size, Terms
from kernels.fold.engine import available
from workers.fold.beside import Beside, InLane, OutLane
from workers.fold.costs import Cost
from workers.fold.launches import Bench, Measure, together
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

LINK = Link(10**9, 100)
ENGINES = [PlainEngine, *([FoldEngine] if available else [])]
TWO_WAYS = {
    "read": "1 TB/s",
    "write": "1 TB/s",
    "efficiency": 1,
    "read_latency": 0,
    "write_latency": 0,
}


class _Ways:
    """An endpoint's two lanes."""

    def __init__(self) -> None:
        self.link = type("Spec", (), {"bytes_per_s": LINK.bytes_per_s})
        self.egress, self.ingress = type("Way", (), {})(), type("Way", (), {})()


class Chip:
    """One chip beside one shard of one expert, which answers at once.

    kinds   of the layers before the one exchange, and behind it: 0 reads 3 MB, 1 nothing
    """

    def __init__(
        self,
        engine: type[Engine],
        kinds: Sequence[Sequence[int]],
        slow: float = 1.0,
        **tier: object,
    ) -> None:
        given = {"base": "b200-sxm", "tiers": {"hbm": {**TWO_WAYS, **tier}}, "launch_overhead": 0}
        self.spec = DeviceSpec.model_validate(expand("device", given))
        self.hardware = Hardware("n", self.spec, VirtualClock(), Trace(), None, slow=slow)
        terms = Terms(LINK, LINK, Size(0, 50), Size(0, 50), 0, (0, 0))
        self.engine, self.ways = engine(1, [0], terms, 1), _Ways()
        self.beside = Beside(self.engine, 0, self.hardware, self.ways)  # type: ignore[arg-type]
        bench = Bench(self.spec, VirtualClock(), slow)
        reads = bench.launch(self.work(3 * 10**6)), bench.launch(Work("nothing"))
        launches = [[reads[kind] for kind in some] for some in kinds]
        took_ns = [together(some).took_ns for some in launches]
        total = together([one for some in launches for one in some])
        self.cost = Cost(
            np.array(took_ns), Measure(), total.resources, Phase.DECODE, 1, reads, kinds
        )

    @staticmethod
    def work(read: int, written: int = 0) -> Work:
        return Work.of("kv", reads={"hbm": read}, writes={"hbm": written} if written else {})

    def begin(self, steps: int = 1) -> None:
        self.beside.begin([self.cost] * steps, 0)
        experts = np.zeros((steps, 1, 1, 1), dtype=np.int32)
        self.engine.begin(0, 0, np.stack([self.cost.launches_ns] * steps), Chosen(experts))

    def reads_at(self, now_ns: int, read: int, written: int = 0) -> int:
        """Others' KV: when it is read."""
        self.engine.advance(now_ns)
        return self.hardware.launch(self.work(read, written), now_ns).due_ns

    def ends(self) -> list[int]:
        ended = []
        while self.engine.next_ns() is not None:
            ended += self.engine.advance(None)
        return [one.end_ns for one in ended]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def engine(request: pytest.FixtureRequest) -> type[Engine]:
    return request.param


# An exchange: 50 bytes each way, 100 ns of path each.
EXCHANGED_NS = 2 * (50 + 100)


def test_undisturbed(engine: type[Engine]) -> None:
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    assert chip.ends() == [3_000 + EXCHANGED_NS + 3_000]


def test_kv_waits_for_the_launch_under_way_and_the_next_for_it(engine: type[Engine]) -> None:
    """Read from 3,000 to 3,000 + 1,500; the second launch begins at 3,300 and waits 1,200."""
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    assert chip.reads_at(1_000, 1_500_000) == 4_500
    assert chip.ends() == [4_500 + 3_000]


def test_kv_that_is_over_before_the_next_launch_makes_nothing_late(engine: type[Engine]) -> None:
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    assert chip.reads_at(1_000, 200_000) == 3_200
    assert chip.ends() == [6_300]


def test_kv_in_an_exchange_holds_the_launch_behind_it(engine: type[Engine]) -> None:
    """The answer is there at 3,300; KV is read from 3,150 on."""
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    assert chip.reads_at(3_150, 1_000_000) == 4_150
    assert chip.ends() == [4_150 + 3_000]


def test_a_step_behind_another_waits_too(engine: type[Engine]) -> None:
    """The second step begins at 6,300."""
    chip = Chip(engine, [[0], [0]])
    chip.begin(2)
    assert chip.reads_at(5_000, 2_000_000) == 8_300
    assert chip.ends() == [6_300, 8_300 + 6_300]


def test_a_stretch_that_begins_waits_for_what_is_read(engine: type[Engine]) -> None:
    chip = Chip(engine, [[0], [0]])
    assert chip.reads_at(0, 500_000) == 500
    chip.begin()
    assert chip.ends() == [6_800]


def test_launches_between_two_exchanges_wait_one_by_one(engine: type[Engine]) -> None:
    """Layers without experts: three launches at 0, 3,000 and 6,000. What is read at 4,000 is behind
    the second, and the third behind it. Two that come meanwhile: the third waits for both.
    """
    chip = Chip(engine, [[0, 0, 0], [1]])
    chip.begin()
    assert chip.reads_at(4_000, 1_000_000) == 7_000
    assert chip.reads_at(5_000, 500_000) == 7_500
    assert chip.ends() == [7_500 + 3_000 + EXCHANGED_NS]


def test_a_slow_machine_waits_so_many_times_as_long(engine: type[Engine]) -> None:
    """A launch takes 6,000, its memory 3,000: at 2,000 that is read behind it until 3,500 + 4,000.
    The next one begins at 6,300, waits 1,200 and is twice as long.
    """
    chip = Chip(engine, [[0], [0]], slow=2.0)
    chip.begin()
    chip.reads_at(2_000, 4_500_000)
    assert chip.ends() == [6_300 + 2 * (1_200 + 3_000)]


def test_both_directions_of_a_bus_are_one_queue(engine: type[Engine]) -> None:
    """1 MB read and 500 kB written take 1,500 ns of it, from 3,000 on."""
    chip = Chip(engine, [[0], [0]], shared_bus=True)
    chip.begin()
    assert chip.reads_at(1_000, 1_000_000, 500_000) == 4_500
    assert chip.ends() == [7_500]


def test_busy_is_counted_once(engine: type[Engine]) -> None:
    """A launch that joined its queue has counted 3,000 of the step's 6,000 ns."""
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    chip.reads_at(1_000, 1_500_000)
    assert chip.beside.counted() == {"hbm.read": 3_000}
    assert chip.beside.counted() == {}
    assert chip.hardware.resources["hbm.read"].busy_ns(10_000) == 4_500


def test_messages_of_others_share_both_lanes(engine: type[Engine]) -> None:
    """Out: 500 bytes at 2,900 hold the dispatch of 3,000 until 3,400, so it is at the shard at
    3,550. In: 1,000 bytes at 3,600 hold its answer, whose first byte comes at 3,650, until 4,600.
    """
    chip = Chip(engine, [[0], [0]])
    chip.begin()
    out, into = chip.ways.egress.lane, chip.ways.ingress.lane
    assert isinstance(out, OutLane) and isinstance(into, InLane)
    chip.engine.advance(2_900)
    assert out.start(2_900, 500, None) == (2_900, 3_400)
    chip.engine.advance(3_600)
    assert into.start(3_600, 1_000, None) == (3_600, 4_600)
    assert chip.ends() == [4_650 + 3_000]
    assert (out.busy_ns(3_000), out.busy_ns(9_000), into.busy_ns(9_000)) == (100, 500, 1_000)


def test_one_that_comes_before_an_answer_that_is_sent_makes_its_launch_later(
    engine: type[Engine],
) -> None:
    """The answer leaves at 3,150, and its first byte is there at 3,250: 40 bytes that come at 3,230
    are before it, those at 3,260 are not. A sender of half the rate takes half of the lane.
    """
    for first_ns, size, limit, late_ns in (
        (3_230, 40, 0, 20),
        (3_260, 40, 0, 0),
        (3_230, 40, 500_000_000, 30),
    ):
        chip = Chip(engine, [[0], [0]])
        chip.begin()
        chip.engine.advance(first_ns)
        chip.ways.ingress.lane.start(first_ns, size, None, limit)
        assert chip.ends() == [6_300 + late_ns], (first_ns, size, limit)
