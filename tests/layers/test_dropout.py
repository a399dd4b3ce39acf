"""Random layers: the same bits as the Keras that opens the file, call after call."""

import numpy as np
import pytest
from helpers.layers import same_as_keras, save
from helpers.oracle import floatx, keras, load_model, tf_keras

from layers.several import outputs_of

RANDOM = [
    lambda k: k.layers.Dropout(0.5, seed=3),
    lambda k: k.layers.Dropout(0.1, seed=1234567890123),
    lambda k: k.layers.Dropout(0.3, noise_shape=(None, 1, 4), seed=5),
    lambda k: k.layers.SpatialDropout1D(0.4, seed=6),
    lambda k: k.layers.GaussianNoise(0.7, seed=7),
    lambda k: k.layers.GaussianDropout(0.3, seed=8),
    lambda k: k.layers.AlphaDropout(0.3, seed=9),
    lambda k: k.layers.AlphaDropout(0.3, noise_shape=(None, 5, 1), seed=10),
    lambda k: k.layers.Dropout(0.0, seed=3),
    lambda k: k.layers.GaussianNoise(0.0, seed=3),
]


@pytest.mark.parametrize("shape", [(5, 4), (None, 4)], ids=str)
def test_seeded_layers(shape):
    of_fixed_length = [RANDOM[7]] if shape[0] is None else []
    same_as_keras(outputs_of(shape, *[layer for layer in RANDOM if layer not in of_fixed_length]))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_spatial_dropout2d(data_format):
    same_as_keras(outputs_of((3, 4, 5), lambda k: k.layers.SpatialDropout2D(0.5, seed=2, data_format=data_format)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_call_after_call(dtype, tmp_path):
    """The counter goes up by one a call in training, and a shared layer draws twice."""
    import midstream._core as core
    import torch

    def build(k):
        x = k.Input((7, 4))
        shared = k.layers.Dropout(0.4, seed=11)
        ys = [layer(k)(x) for layer in RANDOM if layer(k).__class__.__name__ != "AlphaDropout"]
        return k.Model(x, [shared(shared(x)), *ys])

    with floatx(dtype):
        save(build(keras), tmp_path / "model.keras")
        theirs, ours = load_model(keras, tmp_path / "model.keras"), core.open(str(tmp_path / "model.keras"))
        x = np.random.default_rng(0).normal(size=(6, 7, 4)).astype(dtype)
        for training in (True, True, False, True):
            expected = theirs(x, training=training)
            got = ours.forward([torch.from_numpy(x)], training)
            for a, b in zip(got, expected, strict=True):
                assert a.numpy().tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_without_a_seed_the_rates_are_right(module, tmp_path):
    import midstream._core as core
    import torch

    build = outputs_of(
        (100, 40),
        lambda k: k.layers.Dropout(0.25),
        lambda k: k.layers.Dropout(0.25, noise_shape=(None, 100, 1)),
        lambda k: k.layers.SpatialDropout1D(0.25),
        lambda k: k.layers.GaussianNoise(0.5),
        lambda k: k.layers.GaussianDropout(0.2),
    )
    save(build(module), tmp_path / "model.keras")
    model = core.open(str(tmp_path / "model.keras"))
    x = torch.ones(40, 100, 40)
    plain, rows, channels, noise, product = (y.double() for y in model.forward([x], True))
    for y in (plain, rows, channels):
        assert set(np.unique(y.float().numpy())) == {0.0, np.float32(1 / 0.75)}
        assert abs((y == 0).double().mean() - 0.25) < 0.05
    assert bool((rows == rows[:, :, :1]).all()) and bool((channels == channels[:, :1]).all())
    assert abs(noise.std() - 0.5) < 0.01 and abs(product.std() - 0.5) < 0.01
    assert all(torch.equal(y, x) for y in model.forward([x], False))
