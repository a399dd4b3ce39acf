"""Layers that change images at random in training: with a seed the same numbers as Keras 3."""

import numpy as np
import pytest
from helpers.layers import same_as_keras, save
from helpers.oracle import keras

from layers.several import outputs_of

SHAPE = (6, 7, 3)


def test_flips_and_colours():
    same_as_keras(
        outputs_of(
            SHAPE,
            *(
                lambda k, m=m: k.layers.RandomFlip(m, seed=3)
                for m in ("horizontal", "vertical", "horizontal_and_vertical")
            ),
            lambda k: k.layers.RandomContrast(0.6, value_range=(-1, 1), seed=4),
            lambda k: k.layers.RandomBrightness(0.4, value_range=(-1, 1), seed=5),
            lambda k: k.layers.RandomInvert(0.9, value_range=(-1, 1), seed=6),
            lambda k: k.layers.Solarization(0.2, (0.3, 0.7), value_range=(-2, 2), seed=7),
        ),
        dtype="float32",
        tol=1e-6,
        reason="means over 42 pixels and a range of values, float32",
        batch=5,
    )


def test_moves():
    """Through a float32 matrix: its products reach 7 pixels and are off by units of 2^-24 of that."""
    same_as_keras(
        outputs_of(
            SHAPE,
            *(
                lambda k, f=f, i=i: k.layers.RandomTranslation(0.9, (-0.2, 0.9), f, i, seed=8, fill_value=0.5)
                for f in ("reflect", "wrap", "constant", "nearest")
                for i in ("bilinear", "nearest")
            ),
            *(
                lambda k, f=f: k.layers.RandomRotation(0.3, f, seed=9)
                for f in ("reflect", "wrap", "constant", "nearest")
            ),
            lambda k: k.layers.RandomZoom(0.4, seed=10),
            lambda k: k.layers.RandomZoom((-0.3, 0.1), 0.5, "constant", seed=11),
            lambda k: k.layers.RandomShear((0.2, 0.5), (0.1, 0.3), seed=12),
        ),
        dtype="float32",
        tol=1e-5,
        reason="coordinates of up to 7 pixels in float32, a few roundings each",
        batch=4,
    )


def test_the_same_bits_call_after_call(tmp_path):
    import midstream._core as core
    import torch

    save(outputs_of(SHAPE, lambda k: k.layers.RandomFlip(seed=3), lambda k: k.layers.RandomZoom(0.2, 0.1, seed=3))(keras),
         tmp_path / "model.keras")
    theirs, ours = keras.models.load_model(tmp_path / "model.keras"), core.open(str(tmp_path / "model.keras"))
    x = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype("float32")
    for training in (True, False, True, True):
        for a, b in zip(ours.forward([torch.from_numpy(x)], training), theirs(x, training=training), strict=True):
            np.testing.assert_allclose(a.numpy(), np.asarray(b), atol=1e-5)


@pytest.mark.parametrize("name, options", [("RandomHue", {"factor": 0.2}), ("RandAugment", {})])
def test_what_has_no_lowering_predicts(name, options, tmp_path):
    build = outputs_of(SHAPE, lambda k: getattr(k.layers, name)(**options))
    same_as_keras(build, modes=[False])
    import midstream._core as core
    import torch

    save(build(keras), tmp_path / "model.keras")
    with pytest.raises(Exception, match=f"keras.{name} .* has no lowering in training; predicting works"):
        core.open(str(tmp_path / "model.keras")).forward([torch.zeros(1, *SHAPE)], True)
