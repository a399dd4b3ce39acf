"""Classes and functions of the user's own: what the file says of them, and what PyTorch code says they do."""

import os
import subprocess
import sys
import textwrap

import midstream
import numpy as np
import pytest
import torch
from conftest import BUILD
from helpers.oracle import floatx, keras, tf, tf_keras
from torch import nn

RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((8, 5)), RNG.standard_normal((8, 3))


def own_classes(k, activation=True):
    @k.saving.register_keras_serializable("mine", name=f"Gated{k.__name__}")
    class Gated(k.layers.Layer):
        """A weight of its own, and a layer inside; dropout-like only in training."""

        def __init__(self, units, strength=1.0, **more):
            super().__init__(**more)
            self.units, self.strength = units, strength
            self.inner = k.layers.Dense(units, name="inner")

        def build(self, shape):
            self.gate = self.add_weight(name="gate", shape=(shape[-1], self.units), initializer="glorot_uniform")
            if k is keras:
                self.inner.build(shape)
            super().build(shape)

        def call(self, x, training=False):
            y = self.inner(x) * tf.sigmoid(tf.matmul(x, self.gate))
            return y * self.strength if training else y

        def get_config(self):
            return {**super().get_config(), "units": self.units, "strength": self.strength}

    @k.saving.register_keras_serializable("mine", name=f"bump{k.__name__}")
    def bump(x):
        return x * tf.exp(-x * x)

    @k.saving.register_keras_serializable("mine", name=f"tilted{k.__name__}")
    def tilted(y_true, y_pred):
        e = y_true - y_pred
        return tf.reduce_mean(tf.maximum(0.8 * e, -0.2 * e) + e * e, axis=-1)

    layers = k.layers
    x = k.Input((5,))
    h = Gated(4, strength=1.5, name="gated")(layers.Dense(6, activation=bump if activation else "tanh")(x))
    model = k.Model(x, layers.Dense(3)(h))
    model.compile(k.optimizers.Adam(0.01), tilted)
    return model


class TorchGated(nn.Module):
    def __init__(self, config, shape):
        super().__init__()
        self.strength = config["strength"]
        self.linear = nn.Linear(shape[-1], config["units"])
        self.gate = nn.Parameter(torch.empty(shape[-1], config["units"]))

    def forward(self, x):
        y = self.linear(x) * torch.sigmoid(x @ self.gate)
        return y * self.strength if self.training else y


def torch_bump(x):
    return x * torch.exp(-x * x)


def torch_tilted(y_true, y_pred):
    e = y_true - y_pred
    return (torch.maximum(0.8 * e, -0.2 * e) + e * e).mean(-1)


WEIGHTS = {"gate": "gate", "inner/kernel": ("linear.weight", (1, 0)), "inner/bias": "linear.bias"}


def register(k):
    suffix = k.__name__
    midstream.register(f"mine>Gated{suffix}", TorchGated, weights=WEIGHTS)
    for name, fn, kind in (("bump", torch_bump, "activation"), ("tilted", torch_tilted, "loss")):
        midstream.register(f"mine>{name}{suffix}", fn, kind=kind)
        midstream.register(name, fn, kind=kind)


@pytest.mark.parametrize(("k", "ending"), [(keras, ".keras"), (keras, ".h5"), (tf_keras, ".keras"), (tf_keras, ".h5")])
def test_a_registered_layer_activation_and_loss(k, ending, tmp_path):
    """Outputs, three steps from the slots of the file, read again by Keras; the module; the printed source."""
    with floatx("float64"):
        # tf_keras does not read a file with a registered activation again.
        model = own_classes(k, activation=k is keras)
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        path, out = tmp_path / f"m{ending}", tmp_path / f"out{ending}"
        model.save(path)
        register(k)
        module = midstream.load(path)
        x = torch.from_numpy(X)
        np.testing.assert_allclose(module(x).detach(), model.predict(X, verbose=0), rtol=0, atol=1e-13)
        assert "midstream_user" in type(module).midstream_text
        run = midstream.resume(path)
        assert run.step == 4
        for _ in range(3):
            run.core.reset_metrics()
            ours, theirs = run.train_step(X, Y), model.train_on_batch(X, Y)
        assert ours["loss"] == pytest.approx(np.ravel(theirs)[0], rel=1e-12)
        midstream.save(run, out)
        again = k.models.load_model(out)
        for mine, its in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-13)
        if (k, ending) == (keras, ".h5"):
            return  # Keras 3 does not train on a model from an .h5 file with a layer that builds another one
        again.train_on_batch(X, Y)  # from the slots that were written
        model.train_on_batch(X, Y)
        for mine, its in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-13)


def test_what_is_not_registered_is_asked_for_with_a_skeleton(tmp_path):
    """The skeleton is Python that runs, and takes all weights of the file."""

    @keras.saving.register_keras_serializable("strange", name='Sca"le')
    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.gamma

    model = keras.Sequential([keras.Input((3,)), Scale(name="s")])
    path = tmp_path / "m.keras"
    model.save(path)
    with pytest.raises(midstream.UnsupportedError, match="python -m midstream --python") as caught:
        midstream.load(path)
    text = str(caught.value)
    skeleton = textwrap.dedent(text[text.index("    @midstream.register") :])
    assert "of shape [3]" in skeleton and "weight_0" in skeleton
    compile(skeleton, "skeleton", "exec")
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import midstream, torch\nfrom torch import nn\n"
        + skeleton.replace("super().__init__()", "super().__init__(); self.g = nn.Parameter(torch.empty(shape[-1]))")
        .replace("...\n", "return x * self.g\n")
        .replace("weights={  # in the file's order", "weights={'weight_0': 'g',")
    )
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3), "float32"))
    environment = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
    command = [sys.executable, "-m", "midstream", "--python", str(mine), "predict", str(path), "--data",
               str(tmp_path / "x.npz"), "-o", str(tmp_path / "y.npz")]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["y"], np.ones((2, 3)))
    command[command.index("predict") :] = ["predict", str(tmp_path / "no.keras"), "-o", "y.npz"]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 1


def test_mistakes_are_told(tmp_path):
    with pytest.raises(midstream.UsageError, match="one of Keras' own layers"):
        midstream.register("Dense", TorchGated)
    with pytest.raises(midstream.UsageError, match="kind"):
        midstream.register("mine>A", TorchGated, kind="optimizer")
    with floatx("float64"):
        model = own_classes(keras)
        path = tmp_path / "m.keras"
        model.save(path)
    register(keras)
    for weights, message in (
        ({"gate": "gate"}, "linear.weight"),
        ({**WEIGHTS, "inner/kernel": "linear.weight"}, r"\[4, 6\].*|shape"),
        ({**WEIGHTS, "more": "nothing"}, "nothing"),
        ({**WEIGHTS, "inner/kernel": ("linear.weight", (0, 2))}, "permutation"),
    ):
        midstream.register("mine>Gatedkeras", TorchGated, weights=weights)
        with pytest.raises(midstream.Error, match=message):
            midstream.load(path)
    midstream.register("mine>Gatedkeras", lambda config, shape: 3, weights=WEIGHTS)
    with pytest.raises(midstream.UsageError, match="nn.Module"):
        midstream.load(path)
