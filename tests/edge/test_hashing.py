"""The hash stays near under what light and compression do, and far from another card."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.domain.vision.hashing import HASH_BITS, HASH_SIZE, WORDS, card_hash, distances


@pytest.fixture(scope="module")
def cards(fictional: Path) -> list[np.ndarray]:
    files = [fictional / "images" / f"{name}.jpg" for name in ("emb-1", "emb-2", "tdw-5", "drk-9")]
    return [
        np.asarray(cv2.resize(read_image(path), HASH_SIZE, interpolation=cv2.INTER_AREA))
        for path in files
    ]


@pytest.mark.parametrize(
    ("gain", "offset", "sigma"), [(0.6, 0, 0.5), (1.2, 10, 0.8), (0.9, -20, 1.5)]
)
def test_light_and_blur_move_a_hash_less_than_another_card_does(
    cards: list[np.ndarray], gain: float, offset: float, sigma: float
) -> None:
    gallery = np.stack([card_hash(card) for card in cards])
    for index, card in enumerate(cards):
        spoiled = cv2.GaussianBlur((card * gain + offset).clip(0, 255), (0, 0), sigma).astype(
            np.uint8
        )
        apart = distances(card_hash(spoiled), gallery)
        assert int(np.argmin(apart)) == index
        assert apart[index] < 0.2 * HASH_BITS < np.delete(apart, index).min()


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=WORDS, max_size=WORDS),
    st.integers(0, HASH_BITS - 1),
)
def test_distance_counts_differing_bits(words: list[int], flipped: int) -> None:
    one = np.array(words, np.uint64)
    other = one.copy()
    other[flipped // 64] ^= np.uint64(1 << (flipped % 64))
    assert distances(one, np.stack([one, other, ~one])).tolist() == [0, 1, HASH_BITS]
