"""Dense and the layers that pass values on."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


@both
@pytest.mark.parametrize("shape", [(5,), (4, 5), (None, 3, 5)])
def test_dense(module, shape):
    same_as_keras(
        outputs_of(
            shape,
            lambda k: k.layers.Dense(3),
            lambda k: k.layers.Dense(4, use_bias=False),
            lambda k: k.layers.Dense(2, activation="tanh"),
            lambda k: k.layers.Dense(2, activation=k.layers.LeakyReLU(0.1)),
        ),
        module=module,
    )


@both
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_dense_in_both_containers(module, format):
    same_as_keras(
        lambda k: k.Sequential([k.Input((6,)), k.layers.Dense(5, "relu"), k.layers.Dense(2)]),
        module=module,
        format=format,
    )


@both
def test_shared_dense(module):
    def build(k):
        x, y = k.Input((4,)), k.Input((4,))
        dense = k.layers.Dense(4, activation="relu")
        return k.Model([x, y], [dense(dense(x)), dense(y)])

    same_as_keras(build, module=module)


def test_identity():
    same_as_keras(outputs_of((4, 3), lambda k: k.layers.Identity()))


@both
def test_activity_regularization_passes_values_on(module):
    same_as_keras(outputs_of((4,), lambda k: k.layers.ActivityRegularization(0.1, 0.2)), module=module)


@both
@pytest.mark.parametrize("mask_zero", [False, True])
def test_embedding(module, mask_zero):
    ids = np.array([[1, 0, 3, 3, 0], [2, 2, 2, 1, 0]])

    def build(k):
        x = k.Input((None,), dtype="int32")
        rows = k.layers.Embedding(4, 3, mask_zero=mask_zero)(x)
        return k.Model(x, [rows, k.layers.GlobalAveragePooling1D()(rows)])

    same_as_keras(build, module=module, inputs=[ids.astype("int32")])


@both
def test_embedding_of_float_ids(module):
    ids = np.array([[1.0, 0.0, 3.7], [2.0, 2.2, 1.0]])
    same_as_keras(outputs_of((3,), lambda k: k.layers.Embedding(4, 3)), module=module, inputs=[ids])


def test_embedding_counts_negative_ids_from_the_end():
    ids = np.array([[-1, -4, 3]], dtype="int64")
    same_as_keras(outputs_of((3,), lambda k: k.layers.Embedding(4, 2), dtype="int64"), inputs=[ids])


@both
def test_rescaling(module):
    same_as_keras(
        outputs_of(
            (4, 3),
            lambda k: k.layers.Rescaling(1 / 255),
            lambda k: k.layers.Rescaling(0.1, offset=-0.7),
            lambda k: k.layers.Rescaling([0.1, 0.2, 0.3], offset=[0.3, 0.2, 0.1]),
        ),
        module=module,
    )


@both
def test_normalization_with_given_statistics(module):
    same_as_keras(
        outputs_of(
            (4, 3),
            lambda k: k.layers.Normalization(mean=0.3, variance=1.7),
            lambda k: k.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.0]),
            lambda k: k.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], invert=True),
            lambda k: k.layers.Normalization(axis=None, mean=0.3, variance=1.7),
        ),
        module=module,
    )


@both
@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None])
def test_normalization_with_adapted_statistics(module, axis):
    same_as_keras(outputs_of((4, 3), lambda k: k.layers.Normalization(axis=axis)), module=module)


@both
@pytest.mark.parametrize(
    "shape, equation, output_shape, bias_axes",
    [
        ((5,), "ab,bc->ac", 4, "c"),
        ((4, 5), "abc,cd->abd", (None, 3), "d"),
        ((4, 5), "...x,xy->...y", 3, "y"),
        ((4, 5), "abc,cde->abde", (None, 2, 3), "de"),
        ((7, 2), "abc,cde->abde", (7, 3, 4), "be"),  # the bias takes the size of an axis of the input
        ((4, 5), "abc,bde->ade", (2, 3), "d"),
        ((2, 3, 4), "ab...,bc->ac...", 5, "c"),
        ((4, 5), "abc,cd->abd", (4, 3), None),
    ],
)
def test_einsum_dense(module, shape, equation, output_shape, bias_axes):
    layer = lambda k: k.layers.EinsumDense(equation, output_shape, bias_axes=bias_axes, activation="tanh")  # noqa: E731
    same_as_keras(outputs_of(shape, layer), module=module)
