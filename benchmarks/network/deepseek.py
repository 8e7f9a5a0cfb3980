"""DeepSeek-V3 message by message: what a step of 32 chips costs the machine that emulates it.

    python -m benchmarks.network --only deepseek

32 chips with 32 sequences each decode beside 32 nodes with 8 experts each, over one switch, in the
virtual world, on one core. Every dispatch and every combine is an envelope of its own:

    a step      58 layers x 32 chips x 32 shards x 2 = 118,784 envelopes, nearly: with 32 tokens of 8
                experts each a chip hardly ever leaves a shard of 32 out (chance (31/32)^256 = 0.03 %
                were experts drawn singly)
    tokens      32 chips x 32 tokens x 58 layers x copies, there and back. A token's 8 experts lie on
                32 x (1 - (31/32)^8) = 7.2 shards, so 32 x 32 x 58 x 7.2 x 2 = 0.85 M token messages

Expected before the first run: the message path alone does 60,000 events/s (`make bench-events`), and
half of the time goes to it here; the rest to chips (80 us a layer of 32 tokens) and shards. So about
25,000 envelopes/s, 180,000 token messages/s and a fifth of a step a second. The bar is 20,000
envelopes/s with links first come first served.

Seconds are the process's own (CPU time). Standing up and the prompts are left out: what is timed is
from the first to the last token of all sequences but one step at each end.
"""

import time
from collections import Counter

from benchmarks.rows import Row
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.host.trace import Delivered

BAR = 20_000
