"""The scenario's economics: units, bounds, and devices that are there."""

import pytest

from configs.schema import EconomicsSection, ScenarioError, load_scenario


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
    assert nodes["prefill"].device.embodied_carbon_kg == 164, "1,312 kg of eight GPUs"
    assert nodes["router"].device.embodied_carbon_kg == 2_067, "350 + 30.7 + 16 x 105.4"
    assert nodes["hbf"].device.embodied_carbon_kg is None
