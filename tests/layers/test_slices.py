"""A slice of an axis of unknown length is as long as its input allows, not as long as its bound."""

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf


def mean_of(x):
    """A mean beside its terms: the number of steps that are left counts."""
    return keras.ops.concatenate([keras.ops.mean(x, 1, keepdims=True), x], 1)


SLICES = {
    "first": lambda x: mean_of(x[:, :4]),
    "from_second": lambda x: mean_of(x[:, 1:6]),
    "last": lambda x: mean_of(x[:, -5:]),
    "every_other": lambda x: mean_of(x[:, :7:2]),
    "pooled": lambda x: keras.layers.GlobalAveragePooling1D()(x[:, :6]),
    "twice": lambda x: keras.ops.concatenate([x[:, :4], x[:, :4]], 1),
    "one": lambda x: x[:, -1:] * 2.0,
}


@pytest.mark.parametrize("name", SLICES)
def test_keras(name, tmp_path):
    with floatx("float64"):
        x = keras.Input((None, 3))
        model = keras.Model(x, SLICES[name](keras.layers.Dense(2)(x)))
        model.save(tmp_path / "m.keras")
        ours = midstream.load(tmp_path / "m.keras")
        for batch, length in ((5, 30), (2, 3), (4, 5), (3, 600), (1, 2)):
            data = np.random.default_rng(length).normal(size=(batch, length, 3))
            wanted = model(data).numpy()
            got = ours(torch.from_numpy(data)).detach().numpy()
            assert got.shape == wanted.shape, (batch, length)
            # One product over three numbers.
            np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-14)


def test_a_size_bounded_in_a_graph(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float64, name="x")])
        def serve(self, x):
            n = tf.minimum(tf.shape(x)[1], 4)
            head = tf.concat([x[:, :n], tf.zeros([tf.shape(x)[0], 4 - n], tf.float64)], 1)
            steps, rows = tf.shape(x[:, :4])[1], tf.shape(x[:3])[0]
            return {"y": head * tf.cast(steps * 10 + rows, tf.float64)}

    module = Module()
    tf.saved_model.save(module, tmp_path / "s", signatures=module.serve)
    ours = midstream.load(tmp_path / "s")
    for length in (1, 3, 4, 9):
        x = np.random.default_rng(length).normal(size=(2, length))
        wanted = module.serve(tf.constant(x))["y"].numpy()
        got = ours(torch.from_numpy(x))
        got = got["y"] if isinstance(got, dict) else got
        np.testing.assert_array_equal(got.numpy(), wanted)


BOUNDS = {
    "even": lambda x: x[:, : tf.shape(x)[1] // 2 * 2] * 1.5,
    "rows": lambda x: x[: tf.shape(x)[0] // 2 * 2] * 1.5,
    "half_of_every_other": lambda x: x[:, ::2][:, : tf.shape(x)[1] // 2] * 1.5,
    "fours": lambda x: tf.reshape(x[:, : tf.shape(x)[1] - tf.shape(x)[1] % 4], [tf.shape(x)[0], -1, 4]),
    "whole": lambda x: x[:, 1 : tf.shape(x)[1]] * 1.5,
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_that_is_computed(name, tmp_path):
    """Sizes that are the same in the sizes that a graph is built with, and not in others."""

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float64, name="x")])
        def serve(self, x):
            return {"y": BOUNDS[name](x)}

    module = Module()
    tf.saved_model.save(module, tmp_path / "s", signatures=module.serve)
    ours = midstream.load(tmp_path / "s")
    for rows, length in ((2, 8), (3, 5), (1, 6), (5, 12)):
        x = np.random.default_rng(length).normal(size=(rows, length))
        got = ours(torch.from_numpy(x))
        got = got["y"] if isinstance(got, dict) else got
        np.testing.assert_array_equal(got.numpy(), module.serve(tf.constant(x))["y"].numpy())
