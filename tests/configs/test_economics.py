"""The scenario's economics: units, bounds, and devices that are there."""

import pytest
from pydantic import ValidationError

from configs.schema import EconomicsSection, ScenarioError, load_scenario
from configs.totals import embodied_carbon_kg, idle_watts, price_usd
from tests.workers.bench import make_device, make_tier


def economics(changes: dict[str, object]) -> EconomicsSection:
    return load_scenario("single", changes).economics


def test_defaults_are_those_of_their_sources() -> None:
    """72 months, 8.06 cents, PUE 1.12 and 0.35 kgCO2e a kWh."""
    chosen = economics({})
    assert (chosen.years, chosen.usd_per_kwh, chosen.pue) == (6, 0.0806, 1.12)
    assert (chosen.carbon_g_per_kwh, chosen.utilisation, chosen.devices) == (350, 1, {})


def test_values_carry_units() -> None:
    chosen = economics(
        {
            "economics.energy_price": "80 USD/MWh",
            "economics.carbon_intensity": "0.05 kgCO2e/kWh",
            "economics.utilisation": "60 %",
            "economics.devices.host-cpu": {"price": "15 kUSD", "embodied_carbon": "2 tCO2e"},
        }
    )
    assert (chosen.usd_per_kwh, chosen.carbon_g_per_kwh, chosen.utilisation) == (0.08, 50, 0.6)
    host = chosen.devices["host-cpu"]
    assert (host.price_usd, host.embodied_carbon_kg) == (15_000, 2_000)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("years", 0, "greater than 0"),
        ("pue", 0.9, "greater than or equal to 1"),
        ("utilisation", 0, "greater than 0"),
        ("utilisation", "120 %", "less than or equal to 1"),
        ("energy_price", 0.08, 'for example "0.08 USD/kWh"'),
        ("carbon_intensity", "350 kgCO2e", "gCO2e/kWh"),
        ("devices", {"h200-sxm": {"price": "1 USD"}}, "economics.devices has 'h200-sxm'"),
        ("devices", {"host-cpu": {"cost": "1 USD"}}, "cost"),
    ],
)
def test_what_is_wrong_is_refused_by_name(key: str, value: object, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        economics({f"economics.{key}": value})
    assert "economics" in str(refused.value)
    assert told in str(refused.value)


def test_presets_say_what_is_public() -> None:
    nodes = load_scenario("demo", {}).cluster.nodes
    assert embodied_carbon_kg(nodes["prefill"].device) == 164, "1,312 kg of eight GPUs"
    router = embodied_carbon_kg(nodes["router"].device)
    assert router == pytest.approx(350 + 30.7 + 16 * 105.4)
    assert price_usd(nodes["prefill"].device) == 30_000


def test_what_nobody_publishes_of_memory_is_said_to_be_assumed() -> None:
    """Modules at 1.75 USD/GB are trade press's; logic, and flash, nobody's."""
    hbf = load_scenario("demo", {}).cluster.nodes["hbf"].device
    assert price_usd(hbf) == 1_000 + 48 * 9 + 4 * 64 * 1.75
    assert {"price", "embodied_carbon"} <= set(hbf.assumed)
    assert {"price", "embodied_carbon"} <= set(hbf.tiers["hbf"].assumed)
    assert not {"price", "embodied_carbon"} & set(hbf.tiers["ddr"].assumed)


def test_a_device_s_figure_leaves_out_the_tiers_that_name_theirs() -> None:
    """Of two tiers one says what it draws, costs and emits: it comes on top, once."""
    own = make_tier(idle_watts=3.0, price_usd=70.0, embodied_kg_co2e=5.0)
    device = make_device(
        {"hbm": make_tier(), "hbf": own}, idle_watts=2.0, price_usd=100.0, embodied_carbon_kg=10.0
    )
    assert (idle_watts(device), price_usd(device), embodied_carbon_kg(device)) == (5, 170, 15)


def test_a_machine_may_draw_what_it_draws_idle() -> None:
    tiers = {"hbm": make_tier(), "hbf": make_tier(idle_watts=3.0)}
    assert make_device(tiers, idle_watts=2.0, tdp_watts=5.0).tdp_watts == 5
    with pytest.raises(ValidationError, match="tdp is 4 W and idle_power 2 W and its tiers' 3 W:"):
        make_device(tiers, idle_watts=2.0, tdp_watts=4.0)


def test_tiers_alone_are_no_machine() -> None:
    device = make_device({"hbm": make_tier(price_usd=70.0, embodied_kg_co2e=5.0)})
    assert price_usd(device) is None and embodied_carbon_kg(device) is None
