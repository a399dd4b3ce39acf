"""Sequences with every kind of mask: none skipped, holes, padding on either side, nothing valid at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MASK = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 0, 1, 1, 0, 1],
        [0, 0, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 0],
    ],
    dtype=bool,
)
BATCH, STEPS = MASK.shape
FEATURES = 3


def padded(features: int = FEATURES, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    """[batch, time, features] in which Masking() skips what MASK says."""
    x = np.random.default_rng(seed).normal(size=(BATCH, STEPS, features))
    return (x * MASK[:, :, None]).astype(dtype)


def words(seed: int = 0) -> np.ndarray:
    """[batch, time] of words; 0 where MASK is false."""
    return (np.random.default_rng(seed).integers(1, 7, size=(BATCH, STEPS)) * MASK).astype("int32")


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def embedded(k, length: int | None = STEPS):
    """An input of words and its embedding, which is not zero at masked steps and carries the mask."""
    x = k.Input((length,), dtype="int32")
    return x, k.layers.Embedding(7, FEATURES, mask_zero=True)(x)


def on_words(*layers: Callable, length: int | None = STEPS) -> Callable:
    """A `build` for same_as_keras: words -> [layer(embedding) for each]."""

    def build(k):
        x, y = embedded(k, length)
        return k.Model(x, [layer(k)(y) for layer in layers])

    return build
