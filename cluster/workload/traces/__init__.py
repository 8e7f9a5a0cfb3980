"""Recorded workloads that people have, read as they are.

source   bytes as lines or JSON items      values     figures, exact or refused
formats  what each kind's keys mean        recorded   what all kinds give, and notes beside it
index    a trace in memory                 order      when each row comes, and after which
read     a file to a trace
"""

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.index import UNKNOWN, Trace, TraceEntry
from cluster.workload.traces.read import read_trace
from cluster.workload.traces.recorded import History, Said

__all__ = [
    "UNKNOWN",
    "History",
    "Said",
    "Trace",
    "TraceEntry",
    "TraceError",
    "read_trace",
]
