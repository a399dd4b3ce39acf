"""ConvLSTM1D, 2D, 3D and LocallyConnected1D, 2D."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.test_recurrent import call_after_call

MODULES = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


def several(shape, *makers):
    def build(k):
        x = k.Input(shape)
        outputs = []
        for make in makers:
            y = make(k)(x)
            outputs += y if isinstance(y, (list, tuple)) else [y]
        return k.Model(x, outputs)

    return build


@MODULES
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_conv_lstm_2d(module, format):
    options = [
        {"return_sequences": True},
        {"padding": "same", "strides": 2, "return_sequences": True, "return_state": True, "go_backwards": True},
        {"use_bias": False, "activation": "relu", "recurrent_activation": "hard_sigmoid", "dilation_rate": (2, 1)},
    ]
    makers = [lambda k, o=o: k.layers.ConvLSTM2D(2, (3, 2), **o) for o in options]
    same_as_keras(several((3, 6, 5, 2), *makers), module=module, format=format)


@MODULES
def test_conv_lstm_1d_3d(module):
    same_as_keras(
        several((4, 6, 2), lambda k: k.layers.ConvLSTM1D(3, 3, return_state=True),
                lambda k: k.layers.ConvLSTM1D(3, 2, padding="same", return_sequences=True)), module=module)  # fmt: skip
    same_as_keras(several((2, 4, 3, 3, 2), lambda k: k.layers.ConvLSTM3D(2, 2, padding="same")), module=module)


@MODULES
def test_conv_lstm_in_other_layers(module):
    """Masked steps, both directions, one layer behind another, a given state."""

    def build(k):
        x, h, c = k.Input((4, 5, 4, 2)), k.Input((5, 4, 3)), k.Input((5, 4, 3))
        layers = k.layers
        masked = x
        if k is keras:  # tf_keras knows no way to a mask of the steps of images
            masked = layers.TimeDistributed(layers.Reshape((5, 4, 2)))(layers.Masking(0.0)(layers.Reshape((4, 40))(x)))
        y = layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True)(masked)
        y = layers.Bidirectional(layers.ConvLSTM2D(2, 2, padding="same", return_sequences=True))(y)
        z = layers.ConvLSTM2D(3, 3, padding="same")(x, initial_state=[h, c])
        return k.Model([x, h, c], [y, z])

    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 4, 5, 4, 2))
    x[0, 2:], x[1, :1] = 0, 0
    states = [rng.standard_normal((3, 5, 4, 3)) for _ in range(2)]
    same_as_keras(build, module=module, inputs=[x, *states])


def test_conv_lstm_dropout():
    """Keras 3's masks are followed, each gate's own."""
    makers = [
        lambda k: k.layers.ConvLSTM2D(2, 2, dropout=0.3, seed=1, return_sequences=True),
        lambda k: k.layers.ConvLSTM2D(2, 2, recurrent_dropout=0.3, seed=2, padding="same"),
        lambda k: k.layers.ConvLSTM2D(2, 2, dropout=0.2, recurrent_dropout=0.3, seed=3, return_state=True),
    ]
    same_as_keras(several((3, 4, 4, 2), *makers))


@MODULES
def test_conv_lstm_stateful(module, tmp_path):
    def build(k):
        x = k.Input(batch_shape=(2, 3, 4, 4, 2))
        return k.Model(x, [k.layers.ConvLSTM2D(2, 2, stateful=True, padding=p)(x) for p in ("valid", "same")])

    inputs = [np.random.default_rng(i).normal(size=(2, 3, 4, 4, 2)) for i in range(3)]
    call_after_call(module, build, inputs, [True, False, True], tmp_path)


@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_locally_connected(format):
    same_as_keras(
        several((7, 6, 2), lambda k: k.layers.LocallyConnected2D(3, (3, 2), strides=(2, 1), activation="tanh"),
                lambda k: k.layers.LocallyConnected2D(2, 2, use_bias=False),
                lambda k: k.layers.LocallyConnected2D(2, (3, 2), data_format="channels_first")),
        module=tf_keras, format=format)  # fmt: skip
    same_as_keras(
        several((7, 3), lambda k: k.layers.LocallyConnected1D(4, 3, strides=2),
                lambda k: k.layers.LocallyConnected1D(4, 2, data_format="channels_first", padding="valid")),
        module=tf_keras, format=format)  # fmt: skip


@pytest.mark.parametrize("implementation", [2, 3])
def test_locally_connected_implementations(implementation):
    """They keep other arrays, and know padding="same"."""
    of = {"implementation": implementation}
    same_as_keras(
        several(
            (5, 4, 2),
            lambda k: k.layers.LocallyConnected2D(3, (3, 2), strides=(2, 1), **of),
            lambda k: k.layers.LocallyConnected2D(2, (2, 3), padding="same", strides=(3, 2), **of),
            lambda k: k.layers.LocallyConnected2D(2, (3, 2), data_format="channels_first", **of),
        ),
        module=tf_keras,
    )
    same_as_keras(
        several(
            (6, 3),
            lambda k: k.layers.LocallyConnected1D(4, 3, padding="same", **of),
            lambda k: k.layers.LocallyConnected1D(4, 2, padding="same", strides=2, data_format="channels_first", **of),
        ),
        module=tf_keras,
        format=".h5",
    )
