"""Files that people write: scenarios, experiments and trials (the first byte says which), and
recorded traces.

A scenario is planned as well, as every command does before anything starts.
"""

from collections.abc import Sequence

from benchmarks.fuzz.target import Target, chosen, one_file
from cluster.chaos.experiments.schema import experiment_path, load_experiment
from cluster.chaos.written import read_trial
from cluster.workload.traces import TraceError, read_trace
from cluster.worlds.blueprint import Blueprint
from configs.checkpoint_files import CheckpointError
from configs.presets import preset_path
from configs.schema import ScenarioError, dump_scenario, load_scenario


def _scenario(data: bytes) -> None:
    scenario = load_scenario(one_file("mine.yaml")(data))
    Blueprint.draw(scenario, needs_weights=False)
    path = one_file("again.yaml")(dump_scenario(scenario).encode())
    assert load_scenario(path) == scenario


def _experiment(data: bytes) -> None:
    load_experiment(one_file("experiment.yaml")(data))


def _trial(data: bytes) -> None:
    read_trial(one_file("trial.yaml")(data))


READERS = (_scenario, _experiment, _trial)


def _read(data: bytes) -> None:
    which, said = chosen(data, len(READERS))
    READERS[which](said)


TRIAL = b"""trial: '17'
scenario: {cluster.nodes.decode.count: 2, model.num_kv_blocks: 64}
model: null
asks:
- {name: r0, at_ns: 100000, prompt: [5, 6, 7], max_tokens: 8}
faults:
- name: f0
  at: {ns: 200000}
  what: crash
  nodes: [decode-0]
  for_ns: 100000
- name: f1
  at: {word: tokens, nth: 2, point: sent}
  what: drop
  nodes: [decode-0, router]
  amount: 5
"""
SMALL = b"""base: demo
model: {numerics: digest, num_kv_blocks: 64}
cluster:
  nodes:
    decode: {count: 2, link: {base: pcie6, latency: 2 us}}
    experts: {count: 2, spares: 1}
faults:
- {type: latency, source: decode-0, destination: experts-0, attributes: {latency: 1 us}}
- {type: crash, node: decode-0, start: 1 ms}
workload: {arrivals: {closed: {concurrency: 2, num_requests: 4}}}
"""


def _seeds() -> Sequence[bytes]:
    return [
        b"\0" + preset_path("scenario", "demo").read_bytes(),
        b"\0" + SMALL,
        b"\1" + experiment_path("dead-decode-chip").read_bytes(),
        b"\1" + experiment_path("client-storm").read_bytes(),
        b"\2" + TRIAL,
    ]


SCENARIOS = Target(
    "scenarios, experiments and trials of a search",
    _read,
    (ScenarioError, CheckpointError, ValueError),
    _seeds,
    ["base", "cluster", "nodes", "decode", "experts", "count", "spares", "device", "link", "tiers",
     "hbm", "read", "faults", "toxicity", "attributes", "placement", "replicas", "network",
     "torus", "workload", "arrivals", "poisson", "trace", "model", "path", "*a", "&a ", "<<",
     " us", " GB/s", "1e400", "0x", "2020-01-01", "!!binary", "? ", "hypothesis", "storm"],
)  # fmt: skip


def _trace(data: bytes) -> None:
    trace = read_trace(None, one_file("trace")(data))
    for number, _ in enumerate(trace):
        trace.said(number)


TABLE = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
    b"2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:00.017335+00:00,2399,6\n"
)
BURST = (
    b"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    b"\n1.5,s,2,m,10,20,30,API log\n2.5,s,2,m,10,20,30,API log\n"
)
MOONCAKE = (
    b'{"timestamp": 1, "input_length": 600, "output_length": 3, "hash_ids": [1, 2]}\n'
    b'{"timestamp": 3, "input_length": 700, "output_length": 4, "hash_ids": [1, 3]}\n'
)
CHAT = (
    b'[{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": '
    b'"y"}, {"from": "human", "value": "z"}, {"from": "gpt", "value": "w"}]}]'
)
AIPERF = (
    b'{"session_id": "s", "messages": [{"role": "user", "content": "x"}], "output_length": 3, '
    b'"timestamp": 5}\n{"session_id": "s", "text_input": "y", "output_length": 3, "timestamp": 9}\n'
)
SERVING = b'{"input_toks": 2, "output_toks": 4, "arrival_time_ns": 5, "input_tok_ids": [1, 2]}\n'


TRACES = Target(
    "recorded traces of every format",
    _trace,
    (TraceError,),
    lambda: [TABLE, BURST, MOONCAKE, CHAT, AIPERF, SERVING],
    ["timestamp", "input_length", "output_length", "hash_ids", "session_id", "delay", "messages",
     "role", "content", "conversations", "human", "payload", "text_input", "texts", "tools",
     "message_mode", "input_tok_ids", "sub_requests", "ContextTokens", "1e308", "0.000000001",
     "\x1f\x8b", "\r\n", '"', ",", "null", "-1"],
)  # fmt: skip
