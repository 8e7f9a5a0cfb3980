"""Who asks, when, and what: requests made from a scenario, the same for the same seed.

arrivals   when              lengths    how long            prompts        what
traces     recorded ones     sessions   what follows what   trace_prompts  what they ask
requests   one by one        words      texts as tokens     streams        where chance comes from
build      all of it         lazy       items made when asked
"""

from cluster.workload.build import TimedRequest, Workload, build_workload
from cluster.workload.prompts import QuestionsError
from cluster.workload.traces import TraceEntry, TraceError, read_trace

__all__ = [
    "QuestionsError",
    "TimedRequest",
    "TraceEntry",
    "TraceError",
    "Workload",
    "build_workload",
    "read_trace",
]
