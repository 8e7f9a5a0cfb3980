"""Every shipped preset loads, says where its figures come from, and can do what it claims."""

import pytest

from configs.presets import KINDS, expand, preset_names
from configs.schema import (
    DeviceSpec,
    LinkSpec,
    ScenarioError,
    TierSpec,
    dump_scenario,
    load_device,
    load_link,
    load_scenario,
)

DEVICES, LINKS = preset_names("device"), preset_names("link")


def file_keys(spec: DeviceSpec | TierSpec | LinkSpec) -> dict[str, object]:
    return spec.model_dump(mode="json", by_alias=True)


def stands(spec: DeviceSpec | TierSpec | LinkSpec, key: str) -> bool:
    """Whether a dotted key of a specification exists."""
    value: object = file_keys(spec)
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_called_as_its_file_and_cites_sources(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert device.source
    assert [key for key in device.assumed if not stands(device, key)] == []
    for tier in device.tiers.values():
        assert tier.source
        assert [key for key in tier.assumed if not stands(tier, key)] == []


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_called_as_its_file_and_cites_sources(name: str) -> None:
    link = load_link(name)
    assert link.name == name
    assert link.source
    assert [key for key in link.assumed if not stands(link, key)] == []


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_computes_in_the_dtypes_of_declared_work(name: str) -> None:
    assert {"fp32", "bf16", "int8"} <= set(load_device(name).compute)


@pytest.mark.parametrize("name", DEVICES)
def test_enough_reads_in_flight_hide_the_latency(name: str) -> None:
    """A tier whose queue were too short could never reach the bandwidth that its preset claims."""
    for tier in load_device(name).tiers.values():
        in_flight_bytes = tier.queue_depth * tier.page_bytes
        assert in_flight_bytes * 10**9 >= tier.read_bytes_per_s * tier.read_latency_ns


@pytest.mark.parametrize("kind", ["device", "link"])
def test_what_a_comment_calls_assumed_is_marked_assumed(kind: str) -> None:
    """The comments are for readers, `assumed` is for programs: they say the same."""
    for path in sorted(KINDS[kind].glob("*.yaml")):
        load = load_device if kind == "device" else load_link
        spec = load(path.stem)
        marked = {key.split(".")[-1] for key in spec.assumed}
        if isinstance(spec, DeviceSpec):
            marked |= {key for tier in spec.tiers.values() for key in tier.assumed}
        lines = path.read_text(encoding="utf-8").splitlines()
        said = [li.split(":")[0].strip() for li in lines if "# assumed" in li]
        assert [key for key in said if key not in marked] == [], path.name


@pytest.mark.parametrize("name", preset_names("scenario"))
def test_a_scenario_survives_the_round_trip(name: str, tmp_path) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    path = tmp_path / "again.yaml"
    path.write_text(dump_scenario(scenario), encoding="utf-8")
    assert load_scenario(path) == scenario


def test_an_unknown_preset_lists_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'h100-sxm'"):
        load_device("h100-smx")
    with pytest.raises(ScenarioError, match="did you mean 'h100-sxm' or 'h800'"):
        load_device("h100")
    with pytest.raises(ScenarioError, match="nvlink4"):
        load_link("nvlink")
    with pytest.raises(ScenarioError, match="did you mean 'demo'"):
        load_scenario("dem")


def test_sustained_bandwidth_is_peak_times_efficiency() -> None:
    hbm = load_device("h100-sxm").tiers["hbm"]
    assert hbm.read_bytes_per_s == 3_350_000_000_000
    assert hbm.sustained_read_bytes_per_s == 2_680_000_000_000
    assert load_device("h100-sxm").launch_overhead_ns == 3_000


def test_a_changed_figure_loses_its_source() -> None:
    """What a user invents must not look as if a vendor had said it."""
    device = expand("device", {"base": "h100-sxm", "tiers": {"hbm": {"read": "33 TB/s"}}})
    assert "read" in device["tiers"]["hbm"]["assumed"]
    assert "capacity" not in device["tiers"]["hbm"].get("assumed", [])
    assert "latency" in expand("link", {"base": "nvlink4", "latency": "1 us"})["assumed"]
    cited = {"base": "nvlink4", "latency": "1 us", "source": "a datasheet"}
    assert "latency" not in expand("link", cited).get("assumed", [])
