"""A run's figures, by hand: 20 J in 10 ms by two machines of 100 W idle together, 40 tokens.

So 2,000 W and 4,000 tokens/s. In 2 years of use at half: 2,000 x 0.5 + 100 x 0.5 = 1,050 W, with
PUE 1.5 over 63,115,200 s 27,612.9 kWh, and 126,230.4 Mtoken.
"""

import pytest

from cluster.reports.energy.balance import Balance, balance
from cluster.reports.energy.figures import assumptions, figures
from configs.schema import DeviceSpec, EconomicsSection
from tests.cluster.reports.energy.readings import reading
from tests.workers.bench import make_device, make_link, make_tier

TOLD = balance({"a": reading({"hbm.read": {"decode": 19.0}}, 1.0, [20.0], until_ns=10**7)}, 100.0)
ECONOMICS: dict[str, object] = {
    "years": 2, "utilisation": 0.5, "pue": 1.5, "usd_per_kwh": 0.1, "carbon_g_per_kwh": 400.0,
}  # fmt: skip


def economics(**changes: object) -> EconomicsSection:
    return EconomicsSection.model_validate({**ECONOMICS, **changes})


def device(name: str, **changes: object) -> DeviceSpec:
    return make_device(name=name, **changes)  # type: ignore[arg-type]


def values(
    devices: list[DeviceSpec],
    told: Balance | None = TOLD,
    num_tokens: int = 40,
    chosen: EconomicsSection | None = None,
) -> dict[str, float | str]:
    """Figure -> its value, or why it has none."""
    known = figures(told, num_tokens, devices, chosen or economics())
    assert all(figure.evidence == "projection" and figure.formula for figure in known)
    assert not [f for f in known if (f.value is None) != bool(f.missing)]
    return {f.name: f.missing if f.value is None else f.value for f in known}


def test_all_of_them_where_all_is_known() -> None:
    """TCO 1,000 + 2,000 + 2,761.29 USD; embodied 30 kg."""
    machines = [
        device("x", price_usd=1_000.0, embodied_carbon_kg=10.0),
        device("y", price_usd=2_000.0, embodied_carbon_kg=20.0),
    ]
    found = values(machines)
    assert found["tokens_per_joule"] == pytest.approx(2)
    assert found["usd_per_mtoken"] == pytest.approx(5_761.29 / 126_230.4)
    assert found["tokens_per_s_per_usd"] == pytest.approx(2_000 / 5_761.29)
    assert found["operational_g_per_mtoken"] == pytest.approx(27_612.9 * 400 / 126_230.4)
    assert found["embodied_g_per_mtoken"] == pytest.approx(30_000 / 126_230.4)
    assert found["carbon_g_per_mtoken"] == pytest.approx((27_612.9 * 400 + 30_000) / 126_230.4)


def test_tiers_that_name_their_own_count_on_top_and_once() -> None:
    """1,000 + 700 and 2,000 + 300 USD, 10 + 4 and 20 kg; the other tier is in its device's. The
    scenario's word on y is of all of it: 500 USD, and its tier adds nothing.
    """
    priced = make_tier(price_usd=700.0, embodied_kg_co2e=4.0)
    x = device(
        "x", tiers={"hbm": make_tier(), "hbf": priced}, price_usd=1_000.0, embodied_carbon_kg=10.0
    )
    y = device(
        "y", tiers={"hbm": make_tier(price_usd=300.0)}, price_usd=2_000.0, embodied_carbon_kg=20.0
    )
    found = values([x, y])
    assert found["usd_per_mtoken"] == pytest.approx((1_700 + 2_300 + 2_761.29) / 126_230.4)
    assert found["embodied_g_per_mtoken"] == pytest.approx(34_000 / 126_230.4)
    said = values([x, y], chosen=economics(devices={"y": {"price_usd": 500.0}}))
    assert said["usd_per_mtoken"] == pytest.approx((1_700 + 500 + 2_761.29) / 126_230.4)


def test_what_nobody_says_is_named_and_never_0() -> None:
    machines = [device("x", price_usd=1_000.0), device("z"), device("y"), device("z")]
    found = values(machines)
    assert found["usd_per_mtoken"] == found["tokens_per_s_per_usd"] == "no price for device y, z"
    assert found["embodied_g_per_mtoken"] == "no embodied carbon for device x, y, z"
    assert found["carbon_g_per_mtoken"] == "no embodied carbon for device x, y, z"
    assert found["operational_g_per_mtoken"] == pytest.approx(27_612.9 * 400 / 126_230.4)


def test_the_scenario_s_word_on_a_device_comes_first() -> None:
    """A machine that is there already costs nothing, if somebody says so."""
    machines = [device("x", price_usd=1_000.0), device("y")]
    chosen = economics(devices={"x": {"price_usd": 0.0}, "y": {"price_usd": 238.71}})
    assert values(machines, chosen=chosen)["usd_per_mtoken"] == pytest.approx(3_000 / 126_230.4)


def test_without_emulation_tokens_or_energy_there_is_no_figure() -> None:
    assert set(values([], None).values()) == {"nothing is emulated"}
    assert set(values([], num_tokens=0).values()) == {"no token was generated"}
    nothing = balance({"a": reading({}, 0.0, [])}, 0.0)
    assert set(values([], nothing).values()) == {"no device or link says what it draws"}


def test_assumed_figures_are_named_each_once() -> None:
    tier = make_tier(assumed=("read_energy", "queue_depth"))
    x = device("x", tiers={"hbm": tier}, assumed=("idle_power", "tdp"), idle_watts=5.0)
    link = make_link().model_copy(update={"assumed": ("latency", "energy")})
    assert assumptions([x, x, device("y", idle_watts=1.0)], [link, link], economics()) == [
        "idle_power (x)",
        "link energy (test)",
        "tiers.hbm.read_energy (x)",
    ]


def test_a_figure_that_the_scenario_gives_is_no_assumption_of_a_preset_s() -> None:
    tier = make_tier(assumed=("price", "embodied_carbon", "idle_power"))
    x = device("x", tiers={"hbf": tier}, default_tier="hbf", assumed=("price",), idle_watts=5.0)
    own = ["price (x)", "tiers.hbf.embodied_carbon (x)", "tiers.hbf.idle_power (x)"]
    assert assumptions([x], [], economics()) == [*own, "tiers.hbf.price (x)"]
    said = economics(devices={"x": {"price_usd": 1.0}})
    assert assumptions([x], [], said) == own[1:]


def test_idle_power_that_is_not_given_is_named() -> None:
    found = assumptions([device("x")], [], EconomicsSection())
    assert found == ["idle_power, not given and taken as 0 (x)", "utilisation 1 (economics)"]
