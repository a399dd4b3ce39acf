"""Convolutions in every option that changes the arithmetic, at fixed and open sizes."""

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.layers import randomize_weights, same_as_keras, save
from helpers.oracle import floatx, keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
padding = pytest.mark.parametrize("padding", ["valid", "same"])


def variants(name, options, **common):
    return [lambda k, o=o: getattr(k.layers, name)(**{**common, **o}) for o in options]


CONV2D = [
    {"filters": 3, "kernel_size": 3},
    {"filters": 3, "kernel_size": 1, "use_bias": False},
    {"filters": 2, "kernel_size": (2, 3), "activation": "relu"},
    {"filters": 2, "kernel_size": 3, "strides": 2},
    {"filters": 2, "kernel_size": (4, 2), "strides": (2, 3)},
    {"filters": 2, "kernel_size": 2, "strides": 3},
    {"filters": 2, "kernel_size": 3, "dilation_rate": 2},
    {"filters": 2, "kernel_size": (2, 3), "dilation_rate": (3, 1)},
]


@both
@padding
@pytest.mark.parametrize("shape", [(9, 8, 4), (8, 11, 4), (None, None, 4)], ids=str)
def test_conv2d(module, padding, shape):
    same_as_keras(outputs_of(shape, *variants("Conv2D", CONV2D, padding=padding)), module=module, length=9)


CHANNELS_FIRST = {
    "Conv2D": CONV2D,
    "DepthwiseConv2D": [{"kernel_size": 3}, {"kernel_size": 2, "strides": 2, "depth_multiplier": 2}],
    "SeparableConv2D": [{"filters": 3, "kernel_size": 3}, {"filters": 2, "kernel_size": 2, "strides": 2}],
    "Conv2DTranspose": [{"filters": 3, "kernel_size": 3}, {"filters": 2, "kernel_size": 2, "strides": 3}],
    "Conv1D": [{"filters": 3, "kernel_size": 3}, {"filters": 2, "kernel_size": 2, "strides": 2, "padding": "causal"}],
}


@both
@padding
@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first(module, padding, name, tmp_path):
    """Equal to channels_last between two transposes: TensorFlow's CPU kernels refuse channels_first."""
    import midstream._core as core
    import torch

    size = (3, 9) if name.endswith("1D") else (4, 9, 8)
    to_last, to_first = (2, 1) if len(size) == 2 else (2, 3, 1), (2, 1) if len(size) == 2 else (3, 1, 2)
    options = [{"padding": padding, **o} for o in CHANNELS_FIRST[name]]

    def layers(k, data_format):
        return [getattr(k.layers, name)(**o, data_format=data_format) for o in options]

    with floatx("float64"):
        x = module.Input(size)
        theirs = module.Model(x, [layer(x) for layer in layers(module, "channels_first")])
        x = module.Input(size)
        moved = module.layers.Permute(to_last)(x)
        ours = module.Model(
            x, [module.layers.Permute(to_first)(layer(moved)) for layer in layers(module, "channels_last")]
        )
        randomize_weights(theirs, np.random.default_rng(0))
        ours.set_weights(theirs.get_weights())
        save(theirs, tmp_path / "first.keras")
        save(ours, tmp_path / "last.keras")
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *size)))
    compare = Comparison(1e-12)
    models = [core.open(str(tmp_path / f"{which}.keras")) for which in ("first", "last")]
    for i, (a, b) in enumerate(zip(*(m.forward([x], False) for m in models), strict=True)):
        compare.check(f"output {i}", a, b)
    compare.done()


@both
@padding
def test_grouped_conv2d(module, padding):
    options = [
        {"filters": 6, "kernel_size": 3, "groups": 2},
        {"filters": 4, "kernel_size": 2, "groups": 4, "strides": 2},
    ]
    same_as_keras(outputs_of((7, 8, 4), *variants("Conv2D", options, padding=padding)), module=module)


CONV1D = [
    {"filters": 3, "kernel_size": 3},
    {"filters": 2, "kernel_size": 2, "activation": "tanh"},
    {"filters": 2, "kernel_size": 3, "strides": 2, "use_bias": False},
    {"filters": 2, "kernel_size": 3, "dilation_rate": 2},
    {"filters": 4, "kernel_size": 2, "groups": 2},
]


@both
@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("shape", [(9, 4), (10, 4), (None, 4)], ids=str)
def test_conv1d(module, padding, shape):
    same_as_keras(outputs_of(shape, *variants("Conv1D", CONV1D, padding=padding)), module=module, length=8)


DEPTHWISE = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "depth_multiplier": 3, "use_bias": False},
    {"kernel_size": 3, "strides": 2, "activation": "relu"},
    {"kernel_size": 2, "dilation_rate": 2, "depth_multiplier": 2},
]


@both
@padding
@pytest.mark.parametrize("shape", [(9, 8, 4), (None, None, 3)], ids=str)
def test_depthwise_conv2d(module, padding, shape):
    same_as_keras(outputs_of(shape, *variants("DepthwiseConv2D", DEPTHWISE, padding=padding)), module=module, length=8)


@padding
def test_depthwise_conv2d_with_strides_and_dilation(padding):
    options = [
        {"kernel_size": 3, "strides": 2, "dilation_rate": 2},
        {"kernel_size": 2, "strides": (1, 2), "dilation_rate": (2, 1)},
    ]
    same_as_keras(outputs_of((9, 8, 3), *variants("DepthwiseConv2D", options, padding=padding)))


@both
@padding
def test_depthwise_conv1d(module, padding):
    options = [
        {"kernel_size": 3},
        {"kernel_size": 2, "strides": 2, "depth_multiplier": 2},
        {"kernel_size": 3, "dilation_rate": 2},
    ]
    same_as_keras(outputs_of((9, 3), *variants("DepthwiseConv1D", options, padding=padding)), module=module)


SEPARABLE = [
    {"filters": 3, "kernel_size": 3},
    {"filters": 2, "kernel_size": 2, "depth_multiplier": 2, "use_bias": False},
    {"filters": 2, "kernel_size": 3, "strides": 2, "activation": "relu"},
    {"filters": 2, "kernel_size": 3, "dilation_rate": 2},
]


@both
@padding
@pytest.mark.parametrize("name, shape", [("SeparableConv2D", (9, 8, 4)), ("SeparableConv1D", (9, 4))])
def test_separable_conv(module, padding, name, shape):
    same_as_keras(outputs_of(shape, *variants(name, SEPARABLE, padding=padding)), module=module)


def test_separable_conv1d_causal():
    options = [{"filters": 2, "kernel_size": 3, "dilation_rate": 2}]
    same_as_keras(outputs_of((9, 4), *variants("SeparableConv1D", options, padding="causal")), module=tf_keras)


TRANSPOSE = [
    {"filters": 3, "kernel_size": 3},
    {"filters": 2, "kernel_size": 3, "strides": 2},
    {"filters": 2, "kernel_size": 2, "strides": 2, "use_bias": False},
    {"filters": 2, "kernel_size": 4, "strides": 2, "activation": "relu"},
    {"filters": 2, "kernel_size": 2, "strides": 3},
    {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1},
    {"filters": 2, "kernel_size": 5, "strides": 3, "output_padding": 2},
    {"filters": 2, "kernel_size": 4, "strides": 3, "output_padding": 0},
    {"filters": 2, "kernel_size": 5},
]


@both
@padding
@pytest.mark.parametrize(
    "name, shape",
    [("Conv2DTranspose", (5, 4, 3)), ("Conv2DTranspose", (None, None, 3)), ("Conv1DTranspose", (5, 3))],
    ids=str,
)
def test_conv_transpose(module, padding, name, shape):
    # "same" with an output_padding that is smaller than the stride leaves room for is refused by TensorFlow itself.
    options = [o for o in TRANSPOSE if padding == "valid" or o.get("output_padding") != 0]
    same_as_keras(outputs_of(shape, *variants(name, options, padding=padding)), module=module)


@both
@padding
@pytest.mark.parametrize("kernel", [2, 3])
def test_conv2d_transpose_with_dilation(module, padding, kernel, tmp_path):
    """TensorFlow's CPU kernels refuse it. It is defined as the layer whose kernel has zeros between its elements."""
    import midstream._core as core
    import torch

    def model(**options):
        x = module.Input((5, 4, 3))
        return module.Model(x, module.layers.Conv2DTranspose(2, padding=padding, **options)(x))

    with floatx("float64"):
        dilated, spread = model(kernel_size=kernel, dilation_rate=2), model(kernel_size=2 * kernel - 1)
        randomize_weights(dilated, np.random.default_rng(0))
        small, bias = dilated.get_weights()
        large = np.zeros((2 * kernel - 1, 2 * kernel - 1, 2, 3))
        large[::2, ::2] = small
        spread.set_weights([large, bias])
        save(dilated, tmp_path / "model.keras")
        x = np.random.default_rng(1).normal(size=(2, 5, 4, 3))
        compare = Comparison(1e-12)
        [y] = core.open(str(tmp_path / "model.keras")).forward([torch.from_numpy(x)], False)
        compare.check("output", y, spread(x))
        compare.done()
