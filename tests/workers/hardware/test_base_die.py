"""An engine beside a memory tier works beside the chip's own, at its own rate."""

from configs.schema import load_device
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

LAUNCH_NS = 3_000


def test_the_base_die_of_hbm_computes_beside_the_chip() -> None:
    """120 TFLOP/s, of which 80 %: 96e6 operations take 1 us. The chip's own 2,250, of which 78 %:
    1,755e6 operations. What reads 6.4 MB of HBM, 8 TB/s and 80 %, takes 1 us more than its 100 ns.
    """
    machine = Hardware("b200", load_device("b200-base-die"), VirtualClock(), Trace(), None)
    near = Work("near", (Demand("base-die.bf16", 96_000_000),))
    own = Work.of("own", flops={"bf16": 1_755_000_000})
    assert machine.launch(near, 0).due_ns == LAUNCH_NS + 1_000
    assert machine.launch(own, 0).due_ns == LAUNCH_NS + 1_000, "neither waits for the other"
    assert machine.launch(near, 0).due_ns == LAUNCH_NS + 2_000, "and this one for the first"
    read = Work("read", (Demand("base-die.bf16", 96), Demand("hbm.read", 6_400_000)))
    assert machine.launch(read, 10_000).due_ns == 10_000 + LAUNCH_NS + 1_100
