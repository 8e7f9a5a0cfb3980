"""Reading scenarios: bases, overrides, and errors that name the place and the remedy."""

from pathlib import Path

import pytest

from configs.schema import ScenarioError, load_scenario
from configs.schema.faults import LatencyFault

CARDS = {"path": "perfuse-tiny corpus"}
FLAT, CODED = {**CARDS, "index": "ivf_flat"}, {**CARDS, "index": "ivf_pq", "m": 60}
SMALL = """\
name: small
cluster:
  nodes:
    host: {workers: [router, gateway], device: host-cpu, link: ideal-1us}
    chip: {workers: [prefill, decode, experts], device: h100-sxm, link: nvlink4}
workload:
  arrivals: {closed: {concurrency: 1, num_requests: 1}}
  prompts: {questions: {}}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(*args, **kwargs) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(*args, **kwargs)
    return caught.value.problems


def test_what_may_lie_in_a_tier_is_named_where_it_is_misspelt() -> None:
    (problem,) = problems("demo", {"cluster.nodes.decode.tiers": {"kvs": "hbm"}})
    assert problem.endswith("cluster.nodes.decode.tiers.kvs: there is no such key: "
                            "did you mean 'kv'?")  # fmt: skip


def test_defaults_are_vllms(tmp_path) -> None:
    model = load_scenario(write(tmp_path, "s.yaml", SMALL)).model
    assert (model.block_size, model.max_num_seqs, model.max_num_batched_tokens) == (16, 256, 2048)
    assert model.gpu_memory_utilization == 0.9
    assert model.enable_prefix_caching
    assert model.name == "perfuse-tiny"


def test_names_of_nodes_follow_count_and_role(tmp_path) -> None:
    nodes = load_scenario(write(tmp_path, "s.yaml", SMALL)).cluster.nodes
    assert nodes["host"].node_names("host") == ("host",)
    assert nodes["chip"].node_names("chip") == ("chip-0",)


def test_a_base_is_merged_and_null_takes_a_key_away(tmp_path) -> None:
    write(tmp_path, "base.yaml", SMALL)
    path = write(
        tmp_path,
        "child.yaml",
        "base: base.yaml\nseed: 7\n"
        "cluster: {nodes: {chip: {count: 3}, memory: {workers: [memory], device: pnm-cxl, "
        "link: cxl}}}\n"
        "model: {max_num_seqs: 4}\n",
    )
    scenario = load_scenario(path)
    assert scenario.name == "child", "reports must not call it by its base's name"
    assert list(scenario.cluster.nodes) == ["host", "chip", "memory"]
    assert scenario.cluster.nodes["chip"].count == 3
    assert scenario.cluster.nodes["chip"].device.name == "h100-sxm"
    gone = write(tmp_path, "gone.yaml", "base: child.yaml\ncluster: {nodes: {memory: null}}\n")
    assert list(load_scenario(gone).cluster.nodes) == ["host", "chip"]


def test_another_choice_replaces_the_bases(tmp_path) -> None:
    write(tmp_path, "base.yaml", SMALL)
    text = "base: base.yaml\nworkload: {arrivals: {poisson: {rate_per_s: 3, num_requests: 2}}}\n"
    arrivals = load_scenario(write(tmp_path, "child.yaml", text)).workload.arrivals
    assert arrivals.closed is None
    assert arrivals.poisson is not None
    again = load_scenario(
        "demo",
        {
            "workload.arrivals.gamma.rate_per_s": 3,
            "workload.arrivals.gamma.cv": 2,
            "workload.arrivals.gamma.num_requests": 2,
        },
    )
    assert again.workload.arrivals.closed is None


def test_a_base_that_leads_back_is_refused(tmp_path) -> None:
    write(tmp_path, "a.yaml", "base: b.yaml\n")
    write(tmp_path, "b.yaml", "base: a.yaml\n")
    assert "leads back to itself" in problems(tmp_path / "a.yaml")[0]


def test_overrides_reach_into_presets_lists_and_defaults() -> None:
    scenario = load_scenario(
        "demo",
        {
            "cluster.nodes.decode.device.tiers.hbm.read": "30 TB/s",
            "cluster.nodes.decode.link.latency": "500 ns",
            "cluster.nodes.prefill.device": "b200-sxm",
            "faults": [{"type": "latency", "attributes": {"latency": "1 ms"}}],
            "faults.0.toxicity": "25 %",
            "model.num_kv_blocks": None,
            "seed": "11",
        },
    )
    decode = scenario.cluster.nodes["decode"]
    assert decode.device.tiers["hbm"].read_bytes_per_s == 30 * 10**12
    assert decode.device.tiers["hbm"].capacity_bytes == 81_559 * 2**20
    assert decode.link.latency_ns == 500
    assert scenario.cluster.nodes["prefill"].device.name == "b200-sxm"
    fault = scenario.faults[0]
    assert isinstance(fault, LatencyFault)
    assert (fault.attributes.latency_ns, fault.toxicity) == (1_000_000, 0.25)
    assert scenario.model.num_kv_blocks is None
    assert scenario.seed == 11


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("cluster.nodes.decode.cuont", 2, "did you mean 'count'?"),
        ("clustr", {}, "did you mean 'cluster'?"),
        ("model.max_seqs", 3, "did you mean 'max_num_seqs'?"),
        ("slo.ttft_sla", "1 ms", "did you mean 'ttft'?"),
        ("cluster.nodes.decode.count", 0, "is 0:"),
        ("cluster.nodes.decode.workers", ["decoder"], "is 'decoder'"),
        ("cluster.nodes.decode.workers", ["decode", "decode"], "raise count"),
        ("cluster.nodes.decode.workers", [], "at least one role"),
        ("cluster.nodes.decode.device", "h100", "did you mean 'h100-sxm'"),
        ("cluster.nodes.decode.device.base", "h100", "did you mean 'h100-sxm'"),
        ("cluster.nodes.decode.device.default_tier", "hmb", "did you mean 'hbm'?"),
        ("cluster.nodes.decode.device.tiers.hbm.raed", "1 TB/s", "did you mean 'read'"),
        ("cluster.nodes.decode.device.tiers.hbm.sharing", "lifo", "is 'lifo'"),
        (
            "cluster.nodes.decode.device.engines",
            {"hbm": {"compute": {"int8": "1 TFLOP/s"}}},
            "engines names 'hbm', which is the main engine or a tier",
        ),
        (
            "cluster.nodes.decode.device.resources",
            {"planes": {"rate": 3.2e6, "servers": 64, "sharing": "fair"}},
            "sharing is fair and servers 64",
        ),
        ("cluster.nodes.decode.link.latency", 2, "has no unit"),
        ("cluster.nodes.decode.link.bandwidth", "5 GB", "takes one of"),
        ("cluster.dilation", 0.5, "is 0.5:"),
        ("cluster.world", "cloud", "is 'cloud'"),
        ("model.dtype", "fp16", "is 'fp16'"),
        ("model.quantization", "int8", "set dtype: bf16"),
        ("model.kv_cache_dtype", "int8", "set dtype: bf16"),
        ("model.dispatch_dtype", "int8", "set dtype: bf16"),
        ("model.dispatch_dtype", "fp8", "is 'fp8'"),
        ("placement.collections.cards.embedder", "bert", "is 'bert'"),
        ("placement.collections.cards.index", "hnsw", "is 'hnsw'"),
        ("placement.collections.cards.nlist", 8, "leave it out, or make index ivf_flat or ivf_pq"),
        ("placement.collections.cards", {**FLAT, "m": 8}, "or make index ivf_pq"),
        ("placement.collections.cards", {**FLAT, "nlist": 0}, "nlist: is 0:"),
        ("placement.collections.cards", {**FLAT, "nlist": 4, "nprobe": 5}, "nlist of 4 can be"),
        (
            "placement.collections.cards",
            CODED,
            "divide the 1024 values of a vector",
        ),
        ("workload.arrivals.closed.concurrency", 0, "is 0:"),
        ("workload.arrivals", {"closed": None, "poisson": None}, "exactly one of"),
        ("workload.prompts", {"trace": {}}, "name the trace"),
        ("workload.prompts.questions.retrieval.store", "card", "did you mean 'cards'?"),
        ("workload.sampling.temperature", 3, "is 3:"),
        ("faults", [{"type": "latncy"}], "faults.0.type: is 'latncy'"),
        ("faults", [{"type": "bandwidth"}], "faults.0.attributes: is missing"),
        ("faults", [{"type": "drop", "toxicity": 2}], "faults.0.toxicity: is 2"),
        (
            "faults",
            [{"type": "latency", "attributes": {"latency": "1 us", "jitter": "2 us"}}],
            "cannot come early",
        ),
        (
            "faults",
            [{"type": "latency", "attributes": {"latency": "1 us", "jiter": "2 us"}}],
            "faults.0.attributes.jiter: there is no key 'jiter' here: did you mean 'jitter'?",
        ),
        ("slo.deadline", "0 s", "is 0:"),
        ("seed.deeper", 1, "holds no keys"),
        ("faults.0.toxicity", 1, "no item of a list"),
        ("faults", {"0": {"type": "drop"}}, "it must be a list, as [A, B]"),
    ],
)
def test_errors_name_the_key_and_what_would_be_right(key, value, message) -> None:
    overrides = {"faults": []} if key == "faults.0.toxicity" else {}
    found = problems("demo", {**overrides, key: value})
    assert len(found) == 1, found
    assert message in found[0]
    assert key.split(".")[0] in found[0]


def test_all_problems_come_at_once_each_with_its_file(tmp_path) -> None:
    write(tmp_path, "base.yaml", SMALL.replace("concurrency: 1", "concurrency: 0"))
    path = write(tmp_path, "child.yaml", "base: base.yaml\nmodel: {blocksize: 3}\n")
    found = problems(path, {"cluster.dilation": 0})
    assert len(found) == 3, found
    assert any("base.yaml: workload.arrivals.closed.concurrency" in p for p in found)
    assert any("child.yaml: model.blocksize" in p and "'block_size'" in p for p in found)
    assert any("override: cluster.dilation" in p for p in found)


def test_a_key_that_stands_twice_is_refused(tmp_path) -> None:
    path = write(tmp_path, "s.yaml", SMALL + "name: again\n")
    assert "'name' stands twice" in problems(path)[0]


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just text\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text: str) -> None:
    assert "s.yaml" in problems(write(tmp_path, "s.yaml", text))[0]


def test_a_missing_file_is_named(tmp_path) -> None:
    assert "nowhere.yaml" in problems(tmp_path / "nowhere.yaml")[0]


def test_without_emulation_nothing_is_dilated() -> None:
    assert load_scenario("demo").cluster.dilation > 1
    assert load_scenario("demo", {"cluster.emulation": False}).cluster.dilation == 1


def test_one_scenario_runs_in_every_world() -> None:
    """A transport chosen for the live worlds does not stand in the way of the virtual one."""
    chosen = {"cluster.transport": "grpc"}
    assert load_scenario("demo", chosen).cluster.frames_by == "memory"
    assert load_scenario("demo", {"cluster.world": "local", **chosen}).cluster.frames_by == "grpc"


def test_a_scenario_is_frozen() -> None:
    scenario = load_scenario("single")
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 3
