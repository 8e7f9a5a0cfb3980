"""Which experts are chosen how often, from the definitions of the distributions."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests, mixed
from workers.model.digest.routing import Balanced, Routing, Skewed, Uniform

EXPERTS, TOP_K, TOKENS = 64, 6, 20_000
SIZES = 3, EXPERTS, TOP_K
ROUTINGS: dict[str, Routing] = {
    "uniform": Uniform(*SIZES),
    "balanced": Balanced(*SIZES),
    "zipf": Skewed(*SIZES, zipf=1.0),
    "lognormal": Skewed(*SIZES, lognormal=1.0),
    "bursty": Skewed(*SIZES, zipf=1.0, stretch=100),
}


def gated(count: int = TOKENS) -> Digests:
    return mixed(np.arange(count, dtype=np.uint64))


def positions(count: int = TOKENS) -> NDArray[np.int64]:
    return np.zeros(count, dtype=np.int64)


def counts(routing: Routing, layer: int = 1) -> NDArray[np.int64]:
    """Tokens of each expert, most first."""
    chosen = routing.choose(layer, gated(), positions())
    return np.sort(np.bincount(chosen.ravel(), minlength=EXPERTS))[::-1]


@pytest.mark.parametrize("name", ROUTINGS)
def test_a_token_visits_k_different_experts(name: str) -> None:
    chosen = ROUTINGS[name].choose(2, gated(), positions())
    assert chosen.shape == (TOKENS, TOP_K) and chosen.dtype == np.int32
    assert chosen.min() >= 0 and chosen.max() < EXPERTS
    ordered = np.sort(chosen, axis=1)
    assert (ordered[:, 1:] != ordered[:, :-1]).all()


@pytest.mark.parametrize("name", ["uniform", "zipf", "lognormal", "bursty"])
def test_a_token_chooses_alone(name: str) -> None:
    """The same in any batch."""
    routing = ROUTINGS[name]
    whole = routing.choose(2, gated(), positions())
    assert np.array_equal(routing.choose(2, gated()[70:75], positions(5)), whole[70:75])


@pytest.mark.parametrize("name", ["uniform", "zipf", "lognormal", "bursty"])
def test_layers_and_seeds_differ(name: str) -> None:
    one, other = ROUTINGS[name].choose(1, gated(), positions()), ROUTINGS[name]
    assert (one != other.choose(2, gated(), positions())).any(axis=1).mean() > 0.9


def test_uniform_is_even() -> None:
    """Counts of 20,000 x 6 draws over 64 experts: 1,875 each, binomial with a deviation of 43."""
    assert abs(counts(ROUTINGS["uniform"]) - 1875).max() < 5 * 43


@pytest.mark.parametrize("count", [1, 32, 33])
def test_balanced_is_as_even_as_it_goes(count: int) -> None:
    chosen = ROUTINGS["balanced"].choose(1, gated(count), positions(count))
    tokens = np.bincount(chosen.ravel(), minlength=EXPERTS)
    assert tokens.max() - tokens.min() <= 1


def test_zipf_follows_the_harmonic_numbers() -> None:
    """Of one expert a token, the one of rank r has 1 / r / H(64) of all, H(64) = 4.744: 21.1 % of
    the first, 10.5 % of the second, 2.11 % of the tenth.
    """
    found = np.sort(
        np.bincount(Skewed(3, 64, 1, zipf=1.0).choose(1, gated(), positions()).ravel())
    )[::-1]
    for rank in (1, 2, 10):
        wanted = TOKENS / rank / 4.744
        assert abs(found[rank - 1] - wanted) < 5 * wanted**0.5


def test_zipf_of_every_expert_is_no_choice() -> None:
    chosen = Skewed(3, 6, 6, zipf=1.0).choose(1, gated(50), positions(50))
    assert (np.sort(chosen, axis=1) == np.arange(6)).all()


def test_lognormal_widens_with_sigma() -> None:
    spreads = [counts(Skewed(*SIZES, lognormal=s)).std() for s in (0.1, 1.0, 2.0)]
    assert spreads[0] < spreads[1] < spreads[2]


def test_bursts_move_with_positions() -> None:
    """The favourite of a stretch is hardly ever that of the next."""
    routing = ROUTINGS["bursty"]
    favourites = []
    for stretch in range(20):
        at = np.full(2000, 100 * stretch + 7)
        chosen = routing.choose(1, gated(2000), at)
        favourites.append(int(np.bincount(chosen.ravel()).argmax()))
        late = routing.choose(1, gated(2000), at + 92)  # the last of the stretch
        assert np.array_equal(chosen, late)
    assert len(set(favourites)) > 10


def test_a_steep_zipf_has_weights_for_all() -> None:
    """4,096 ** -100 is no float64: warnings are errors here. The experts of ranks 1 to 3 come
    first, 2 ** 100, 1.5 ** 100 and (4 / 3) ** 100 times as likely as the next.
    """
    chosen = Skewed(3, 4096, 3, zipf=100.0).choose(1, gated(500), positions(500))
    assert (chosen == chosen[0]).all() and len(set(chosen[0].tolist())) == 3


@pytest.mark.parametrize("routing", [Uniform(3, 256, 8), Skewed(3, 256, 8, lognormal=0.001)])
def test_choices_without_a_skew_are_independent(routing: Routing) -> None:
    """Residues of 8 of 256 experts modulo 8: a token's are 8 x (1 - C(224, 8) / C(256, 8)) = 5.29
    different ones. Shards that are dealt round would be loaded too evenly by any other choice.
    """
    chosen = routing.choose(1, gated(), positions())
    different = np.mean([len(set(row)) for row in (chosen % 8).tolist()])
    right = 8 * (1 - math.comb(224, 8) / math.comb(256, 8))
    assert abs(different - right) < 5 * 0.9 / math.sqrt(TOKENS)
