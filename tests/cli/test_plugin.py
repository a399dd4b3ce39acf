"""`midstream --plugin`: classes of the user's own from a shared library (examples/cpp/my_classes.cpp)."""

import numpy as np
from conftest import BUILD
from helpers.oracle import floatx, keras, tf

PLUGIN = BUILD / "examples" / "cpp" / "libmy_classes.so"
RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((8, 5)), RNG.standard_normal((8, 3))


def model_with_own_classes():
    @keras.saving.register_keras_serializable("my_package")
    class Scale(keras.layers.Layer):
        def __init__(self, strength, **more):
            super().__init__(**more)
            self.strength = strength

        def build(self, shape):
            self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")

        def call(self, x, training=False):
            return x * self.gamma * (self.strength if training else 1.0)

        def get_config(self):
            return {**super().get_config(), "strength": self.strength}

    @keras.saving.register_keras_serializable("my_package")
    def bump(x):
        return x * tf.exp(-x * x)

    @keras.saving.register_keras_serializable("my_package")
    def fourth_power(y_true, y_pred):
        return tf.reduce_mean((y_true - y_pred) ** 4, axis=-1)

    x = keras.Input((5,))
    h = Scale(1.5)(keras.layers.Dense(6, activation=bump)(x))
    model = keras.Model(x, keras.layers.Dense(3)(h))
    model.compile(keras.optimizers.Adam(0.01), fourth_power)
    return model


def test_plugin_trains_as_keras_does(midstream, tmp_path):
    with floatx("float64"):
        model = model_with_own_classes()
        model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
        path, out, data = tmp_path / "m.keras", tmp_path / "out.keras", tmp_path / "d.npz"
        model.save(path)
        np.savez(data, x=X, y=Y)
        train = ["train", path, "--data", data, "--batch-size", 4, "--no-shuffle", "--epochs", 2, "-o", out]
        refused = midstream(*train, code=1)
        assert "my_package>Scale" in refused.stderr
        midstream("--plugin", PLUGIN, *train)
        start = [w.numpy() for w in model.weights]
        model.fit(X, Y, batch_size=4, shuffle=False, epochs=2, verbose=0)
        got = keras.models.load_model(out)
        for before, ours, keras_own in zip(start, got.weights, model.weights, strict=True):
            moved = np.abs(keras_own.numpy() - before).max()
            assert moved > 0
            assert np.abs(ours.numpy() - keras_own.numpy()).max() <= 1e-12 * max(1.0, np.abs(before).max())
        for ours, keras_own in zip(got.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_allclose(ours.numpy(), keras_own.numpy(), rtol=1e-9, atol=1e-13)


def test_a_library_that_cannot_be_loaded(midstream, tmp_path):
    missing = midstream("--plugin", tmp_path / "no.so", "inspect", "x.keras", code=2)
    assert "no.so] does not exist" in missing.stderr
    bad = tmp_path / "bad.so"
    bad.write_bytes(b"not a library")
    refused = midstream("--plugin", bad, "inspect", "x.keras", code=2)
    assert "cannot be loaded" in refused.stderr
    assert "examples/cpp" in refused.stderr
