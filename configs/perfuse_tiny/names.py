"""Names of made-up devices: syllables plus a number (``Vextal-7``).

A hash of the name's stem puts every name into exactly one split, so training cannot meet a name
(nor, with it, a name-value pair) of the shipped corpus, whatever the seeds are.
"""

import zlib
from random import Random
from typing import Literal

Split = Literal["train", "validation", "shipped"]

ONSETS = (
    "Vex", "Nor", "Bel", "Kra", "Zan", "Tor", "Mil", "Dra", "Fen", "Gal", "Hux", "Jor", "Lum",
    "Pel", "Quo", "Ras", "Syl", "Tam", "Wim", "Yol"
)  # fmt: skip
MIDDLES = ("a", "e", "i", "o", "u")
CODAS = (
    "tal", "bel", "dox", "fin", "gar", "hem", "jax", "kor", "lon", "mex", "nik", "pod", "rix",
    "sol", "tus", "van", "wex", "zor", "bis", "dra"
)  # fmt: skip
SYLLABLE = 3  # letters of every first and last syllable


def split_of(name: str) -> Split:
    """Return the only split that may use ``name``: it depends on the stem before the hyphen."""
    bucket = zlib.crc32(name.split("-")[0].encode()) % 10
    if bucket < 2:
        return "shipped"
    return "validation" if bucket == 2 else "train"


def _stem(rng: Random) -> str:
    """Draw two syllables, or three in two of five names."""
    middle = rng.choice(MIDDLES) if rng.random() < 0.4 else ""
    return rng.choice(ONSETS) + middle + rng.choice(CODAS)


def make_name(rng: Random, split: Split) -> str:
    """Draw a device name of ``split``."""
    while True:
        stem = _stem(rng)
        if split_of(stem) == split:
            return f"{stem}-{rng.randint(1, 99)}"


def _near_number(rng: Random, number: str) -> str:
    """Change one digit of ``number``, or in half of the cases all of it."""
    if rng.random() < 0.5:
        return str(rng.randint(1, 99))
    place = rng.randrange(len(number))
    return number[:place] + rng.choice("123456789") + number[place + 1 :]


def similar_name(rng: Random, name: str, split: Split) -> str:
    """Draw another name of ``split`` that differs in one to three of its four parts."""
    stem, number = name.split("-")
    while True:
        onset, middle, coda = stem[:SYLLABLE], stem[SYLLABLE:-SYLLABLE], stem[-SYLLABLE:]
        near = number
        for part in rng.sample(range(4), rng.choice((1, 1, 2, 2, 3))):
            if part == 0:
                onset = rng.choice(ONSETS)
            elif part == 1:
                middle = rng.choice(("", *MIDDLES))
            elif part == 2:
                coda = rng.choice(CODAS)
            else:
                near = _near_number(rng, number)
        other = f"{onset}{middle}{coda}-{near}"
        if other != name and split_of(other) == split:
            return other
