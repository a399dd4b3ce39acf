"""Pooling; with ties, because the gradient depends on which of several equal maxima gets it."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])

POOL2D = [
    {},
    {"pool_size": 3},
    {"pool_size": 3, "strides": 1},
    {"pool_size": 2, "strides": 1},
    {"pool_size": (2, 3), "strides": (1, 2)},
    {"pool_size": (3, 2), "strides": 2},
    {"pool_size": 4, "strides": 3},
    {"pool_size": 2, "strides": 3},
]


def ties(*shape):
    return np.maximum(np.random.default_rng(1).integers(-2, 3, shape), 0).astype("float64")


def variants(name, options, **common):
    if name.startswith("Average"):
        common["pool_size"] = 2  # Keras 3 has no default
    return [lambda k, o=o: getattr(k.layers, name)(**{**common, **o}) for o in options]


# tf_keras hands channels_first to TensorFlow's CPU kernels, which refuse it.
@pytest.mark.parametrize(
    "module, data_format",
    [(keras, "channels_last"), (keras, "channels_first"), (tf_keras, "channels_last")],
    ids=["keras3", "keras3-channels_first", "tf_keras"],
)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize("size", [(9, 8), (8, 11), (None, None)], ids=str)
def test_pooling2d(module, padding, kind, data_format, size):
    last = data_format == "channels_last"
    shape = (*size, 2) if last else (2, *size)
    full = tuple(9 if s is None else s for s in shape)
    build = outputs_of(shape, *variants(f"{kind}2D", POOL2D, padding=padding, data_format=data_format))
    same_as_keras(build, module=module, length=9)
    same_as_keras(build, module=module, inputs=[ties(3, *full)])


@both
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize("length", [9, 8, None])
def test_pooling1d(module, padding, kind, length):
    options = [
        {},
        {"pool_size": 3},
        {"pool_size": 3, "strides": 1},
        {"pool_size": 2, "strides": 1},
        {"pool_size": 4, "strides": 3},
    ]
    build = outputs_of((length, 2), *variants(f"{kind}1D", options, padding=padding))
    same_as_keras(build, module=module, length=9)
    same_as_keras(build, module=module, inputs=[ties(3, length or 7, 2)])


@both
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("spatial", [1, 2])
def test_global_pooling(module, data_format, spatial):
    names = [f"Global{kind}Pooling{spatial}D" for kind in ("Max", "Average")]
    shape = (4, 3, 5)[: spatial + 1]
    layers = [v for n in names for v in variants(n, [{}, {"keepdims": True}], data_format=data_format)]
    same_as_keras(outputs_of(shape, *layers), module=module)
    same_as_keras(outputs_of(shape, *layers), module=module, inputs=[ties(3, *shape)])


@both
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_average_pooling1d_under_a_mask(module, keepdims):
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    x[0, 3:] = 0
    x[1, 1] = 0

    def build(k):
        i = k.Input((None, 2))
        return k.Model(i, k.layers.GlobalAveragePooling1D(keepdims=keepdims)(k.layers.Masking()(i)))

    same_as_keras(build, module=module, inputs=[x])
