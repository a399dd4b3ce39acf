"""Layers that move, repeat, cut or pad values."""

import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
formats = pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])


@both
def test_flatten_reshape_permute(module):
    same_as_keras(
        outputs_of(
            (4, 3, 2),
            lambda k: k.layers.Flatten(),
            lambda k: k.layers.Flatten(data_format="channels_first"),
            lambda k: k.layers.Reshape((6, 4)),
            lambda k: k.layers.Reshape((2, -1)),
            lambda k: k.layers.Permute((3, 1, 2)),
            lambda k: k.layers.Permute((2, 1, 3)),
        ),
        module=module,
    )


@both
def test_open_sizes(module):
    same_as_keras(
        outputs_of(
            (None, 4),
            lambda k: k.layers.Reshape((-1, 2, 2)),
            lambda k: k.layers.Permute((2, 1)),
            lambda k: k.layers.Flatten(),
        ),
        module=module,
    )
    same_as_keras(outputs_of((), lambda k: k.layers.Flatten()), module=module)


@both
def test_repeat_vector(module):
    same_as_keras(outputs_of((4,), lambda k: k.layers.RepeatVector(3)), module=module)


@both
@formats
def test_padding_and_cropping_2d(module, data_format):
    common = {"data_format": data_format}
    same_as_keras(
        outputs_of(
            (5, 6, 4),
            lambda k: k.layers.ZeroPadding2D(2, **common),
            lambda k: k.layers.ZeroPadding2D((1, 2), **common),
            lambda k: k.layers.ZeroPadding2D(((0, 1), (2, 3)), **common),
            lambda k: k.layers.Cropping2D(1, **common),
            lambda k: k.layers.Cropping2D((1, 0), **common),
            lambda k: k.layers.Cropping2D(((0, 1), (2, 1)), **common),
        ),
        module=module,
    )


@both
def test_padding_and_cropping_1d(module):
    same_as_keras(
        outputs_of(
            (None, 2),
            lambda k: k.layers.ZeroPadding1D(2),
            lambda k: k.layers.ZeroPadding1D((0, 3)),
            lambda k: k.layers.Cropping1D(1),
            lambda k: k.layers.Cropping1D((0, 2)),
            lambda k: k.layers.UpSampling1D(3),
        ),
        module=module,
    )


@both
@formats
@pytest.mark.parametrize("size", [2, (3, 1), (1, 40)])
def test_up_sampling_nearest(module, data_format, size):
    layer = lambda k: k.layers.UpSampling2D(size, data_format=data_format)  # noqa: E731
    same_as_keras(outputs_of((3, 4, 2), layer), module=module)
    same_as_keras(
        outputs_of((None, None, 2) if data_format == "channels_last" else (2, None, None), layer), module=module
    )


INTERPOLATIONS = {
    keras: ["bilinear", "bicubic", "lanczos3", "lanczos5"],
    tf_keras: ["bilinear", "bicubic", "gaussian", "lanczos3", "lanczos5", "mitchellcubic"],
}


@both
@formats
def test_up_sampling_by_interpolation(module, data_format):
    same_as_keras(
        outputs_of(
            (5, 4, 2),
            *[
                lambda k, i=i, s=s: k.layers.UpSampling2D(s, data_format=data_format, interpolation=i)
                for i in INTERPOLATIONS[module]
                for s in (2, (3, 1))
            ],
        ),
        module=module,
        # In float64 TensorFlow has no gradient for ScaleAndTranslate, which all but "bilinear" are.
        dtype="float32",
        tol=2e-6,
        reason="TensorFlow's resize ops compute in float32",
    )


@both
def test_up_sampling_by_area(module):
    same_as_keras(
        outputs_of((5, 4, 2), lambda k: k.layers.UpSampling2D(2, interpolation="area")),
        module=module,
        input_gradients=False,
        tol=2e-6,
        reason="TensorFlow's resize ops compute in float32, and it has no gradient for this one",
    )
