"""Batch-, Layer- and GroupNormalization: values, gradients, and the statistics that training leaves."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


def batch_norms(*options):
    return [lambda k, o=o: k.layers.BatchNormalization(**o) for o in options]


OPTIONS = [
    {},
    {"center": False},
    {"scale": False},
    {"center": False, "scale": False},
    {"momentum": 0.7, "epsilon": 0.1},
]


@both
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 5, 4), (None, None, 4)], ids=str)
def test_batch_normalization(module, shape):
    same_as_keras(outputs_of(shape, *batch_norms(*OPTIONS)), module=module)


@both
@pytest.mark.parametrize("shape, axis", [((5, 4), 1), ((5, 4), -2), ((3, 5, 4), 1), ((2, 3, 5, 4), 2)])
def test_batch_normalization_of_another_axis(module, shape, axis):
    same_as_keras(outputs_of(shape, *batch_norms({"axis": axis})), module=module)


@both
def test_batch_of_one(module):
    same_as_keras(outputs_of((4,), *batch_norms({})), module=module, batch=1)


FUSED = "float32: rounding of the statistics, in both frameworks"


@pytest.mark.parametrize("shape", [(3, 5, 4), (4,)], ids=["fused", "plain"])
def test_the_variance_rule_of_the_files_own_dtype(shape):
    """In float32, tf_keras' fused kernel keeps the unbiased variance of a rank-4 input."""
    same_as_keras(outputs_of(shape, *batch_norms(*OPTIONS)), module=tf_keras, dtype="float32", tol=2e-5, reason=FUSED)
    same_as_keras(outputs_of(shape, *batch_norms(*OPTIONS)), module=keras, dtype="float32", tol=2e-5, reason=FUSED)


@both
def test_frozen_batch_normalization_runs_in_inference_mode(module):
    def build(k):
        x = k.Input((4,))
        frozen = k.layers.BatchNormalization(trainable=False)
        return k.Model(x, k.layers.Dense(3)(frozen(k.layers.Dense(4)(x))))

    same_as_keras(build, module=module)


@both
def test_shared_batch_normalization(module):
    def build(k):
        x, y = k.Input((4,)), k.Input((4,))
        shared = k.layers.BatchNormalization()
        return k.Model([x, y], [shared(x), shared(y)])

    same_as_keras(build, module=module)


@both
def test_batch_normalization_under_a_mask(module):
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    x[0, 3:] = 0
    x[2, 1] = 0

    def build(k):
        i = k.Input((5, 2))
        m = k.layers.Masking()(i)
        return k.Model(i, [k.layers.BatchNormalization(**o)(m) for o in OPTIONS])

    same_as_keras(build, module=module, inputs=[x])


@both
@pytest.mark.parametrize("axis", [-1, 1, 2, (1, 2), (2, 3), (1, 3), (1, 2, 3)], ids=str)
def test_layer_normalization(module, axis):
    same_as_keras(
        outputs_of(
            (3, 5, 4),
            lambda k: k.layers.LayerNormalization(axis=axis),
            lambda k: k.layers.LayerNormalization(axis=axis, center=False),
            lambda k: k.layers.LayerNormalization(axis=axis, scale=False, epsilon=0.1),
            lambda k: k.layers.LayerNormalization(axis=axis, scale=False, center=False),
        ),
        module=module,
    )


def test_layer_normalization_of_unsorted_axes():
    for module in (keras, tf_keras):
        same_as_keras(outputs_of((3, 3, 4), lambda k: k.layers.LayerNormalization(axis=(2, 1))), module=module)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2)], ids=str)
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_rms_scaling(axis):
    same_as_keras(outputs_of((5, 4), lambda k: k.layers.LayerNormalization(axis=axis, rms_scaling=True)))


@both
@pytest.mark.parametrize(
    "shape, axis",
    [
        ((4,), -1),
        ((5, 4), -1),
        ((3, 5, 4), -1),
        ((None, None, 4), -1),
        ((4, 3, 5), 1),
        ((3, 4, 5), -2),
        ((2, 3, 5, 4), 4),
    ],
    ids=str,
)
def test_group_normalization(module, shape, axis):
    options = [
        {"groups": 2},
        {"groups": 1, "center": False},
        {"groups": -1, "scale": False, "epsilon": 0.1},
        {"groups": 4, "scale": False, "center": False},
    ]
    same_as_keras(
        outputs_of(shape, *[lambda k, o=o: k.layers.GroupNormalization(axis=axis, **o) for o in options]),
        module=module,
    )


def test_group_normalization_passes_the_mask_on():
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    x[0, 3:] = 0
    x[2, 1] = 0

    def build(k):
        i = k.Input((5, 4))
        y = k.layers.GroupNormalization(groups=2)(k.layers.Masking()(i))
        return k.Model(i, [y, k.layers.GlobalAveragePooling1D()(y)])

    same_as_keras(build, inputs=[x])


@pytest.mark.parametrize("shape, axis", [((4,), -1), ((3, 5, 4), -1), ((3, 5, 4), [2, 3]), ((3, 5, 4), [1, 2, 3])])
def test_rms_normalization(shape, axis):
    layers = [lambda k, o=o: k.layers.RMSNormalization(axis=axis, **o) for o in ({}, {"epsilon": 0.1})]
    same_as_keras(outputs_of(shape, *layers))


def test_rms_normalization_in_half_precision():
    same_as_keras(
        outputs_of((6,), lambda k: k.layers.RMSNormalization(dtype="mixed_float16")),
        dtype="float32",
        tol=2e-3,
        reason="float16: one rounding of the output, and of the gradient",
    )


@both
@pytest.mark.parametrize("shape, axis", [((4,), -1), ((3, 5, 4), 1), ((3, 5, 4), [1, 2]), ((None, 4), [-1])])
def test_unit_normalization(module, shape, axis):
    same_as_keras(outputs_of(shape, lambda k: k.layers.UnitNormalization(axis=axis)), module=module)


def test_unit_normalization_of_tiny_vectors_differs_between_the_keras():
    """Keras 3 bounds the norm by 1e-12, Keras 2 its square."""
    x = np.full((2, 4), 1e-8)
    x[1] = 0.3
    build = outputs_of((4,), lambda k: k.layers.UnitNormalization())
    same_as_keras(build, module=keras, inputs=[x])
    same_as_keras(build, module=tf_keras, inputs=[x])
