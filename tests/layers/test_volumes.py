"""Layers over three axes, and the pooling that one axis lacks elsewhere."""

import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
VOLUME = (5, 6, 7, 2)

LAYERS = {
    "conv": lambda k: k.layers.Conv3D(3, 2, activation="tanh"),
    "conv_same": lambda k: k.layers.Conv3D(3, (2, 3, 1), padding="same"),
    "conv_strides": lambda k: k.layers.Conv3D(3, (3, 2, 3), strides=(2, 1, 2), padding="same", use_bias=False),
    "conv_dilation": lambda k: k.layers.Conv3D(2, 2, dilation_rate=2),
    "transpose": lambda k: k.layers.Conv3DTranspose(3, 2, strides=2),
    "transpose_same": lambda k: k.layers.Conv3DTranspose(3, (3, 2, 3), strides=(1, 2, 2), padding="same"),
    "global_max": lambda k: k.layers.GlobalMaxPooling3D(),
    "global_average": lambda k: k.layers.GlobalAveragePooling3D(keepdims=True),
    "padding": lambda k: k.layers.ZeroPadding3D(((1, 0), (2, 1), (0, 3))),
    "cropping": lambda k: k.layers.Cropping3D(((1, 0), (2, 1), (0, 3))),
    "up": lambda k: k.layers.UpSampling3D((2, 1, 3)),
    "spatial_dropout": lambda k: k.layers.SpatialDropout3D(0.0),
    "norm": lambda k: k.layers.BatchNormalization(),
}

# TensorFlow's kernels take float32 alone.
POOLING = {
    "max": lambda k: k.layers.MaxPooling3D(2),
    "max_same": lambda k: k.layers.MaxPooling3D((2, 3, 2), strides=(1, 2, 2), padding="same"),
    "average": lambda k: k.layers.AveragePooling3D((2, 1, 3)),
    "average_same": lambda k: k.layers.AveragePooling3D(2, padding="same"),
}


@both
@pytest.mark.parametrize("name", POOLING)
def test_pooling(module, name):
    reason = "float32; a mean of 8 and a gradient's sum over at most 12 windows: 12 * 2**-24"
    same_as_keras(outputs_of(VOLUME, POOLING[name]), module=module, dtype="float32", tol=12 * 2.0**-24, reason=reason)


@both
@pytest.mark.parametrize("name", LAYERS)
def test_layer(module, name):
    same_as_keras(outputs_of(VOLUME, LAYERS[name]), module=module)


@both
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_max_over_one_axis(module, keepdims):
    same_as_keras(outputs_of((6, 3), lambda k: k.layers.GlobalMaxPooling1D(keepdims=keepdims)), module=module)
