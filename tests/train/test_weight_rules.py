"""Regularizers and constraints against both Keras in float64."""

import json

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.oracle import floatx, is_legacy, keras, tf, tf_keras

from train.probe import core, normal, tensor

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
SHAPES = [(4, 5), (3, 3, 2, 4), (6,)]


@both
@pytest.mark.parametrize(
    "name, config", [("L1", {"l1": 0.03}), ("L2", {"l2": 0.02}), ("L1L2", {"l1": 0.01, "l2": 0.2})]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_regularizer(module, name, config, shape):
    w = normal(*shape)
    w.flat[0] = 0
    with floatx("float64"):
        variable = tf.Variable(w)
        with tf.GradientTape() as tape:
            penalty = getattr(module.regularizers, name)(**config)(tf.identity(variable))
        gradient = tape.gradient(penalty, variable)
    ours = core().regularizer(json.dumps({"class_name": name, "config": config}), not is_legacy(module), tensor(w))
    c = Comparison(1e-12)
    c.check("penalty", ours[0], penalty.numpy())
    c.check("gradient", ours[1], gradient.numpy())
    c.done()


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_regularizer(mode):
    """Keras 3's fails in float64 itself (its factor stays float32)."""
    w = normal(4, 5)
    with floatx("float64"):
        penalty = tf_keras.regularizers.OrthogonalRegularizer(0.3, mode)(tf.constant(w))
    ours = core().regularizer(
        json.dumps({"class_name": "OrthogonalRegularizer", "config": {"factor": 0.3, "mode": mode}}), False, tensor(w)
    )
    np.testing.assert_allclose(ours[0].numpy(), penalty.numpy(), rtol=1e-12)


def test_radial_constraint():
    for n in (2, 3, 4, 5):
        w = normal(n, n, 2, 3)
        with floatx("float64"):
            wanted = np.asarray(tf_keras.constraints.RadialConstraint()(tf.constant(w)))
        ours = core().constraint(json.dumps({"class_name": "RadialConstraint", "config": {}}), False, tensor(w))
        np.testing.assert_array_equal(ours.numpy(), wanted)


@both
@pytest.mark.parametrize(
    "name, config",
    [
        ("MaxNorm", {"max_value": 1.5}),
        ("MaxNorm", {"max_value": 1.5, "axis": [0, 1]}),
        ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.2, "rate": 0.7}),
        ("NonNeg", {}),
        ("UnitNorm", {"axis": 1}),
    ],
)
def test_constraint(module, name, config):
    for shape in [(4, 5), (3, 3, 2, 4)]:
        w = normal(*shape)
        with floatx("float64"):
            wanted = np.asarray(getattr(module.constraints, name)(**config)(tf.constant(w)))
        ours = core().constraint(json.dumps({"class_name": name, "config": config}), not is_legacy(module), tensor(w))
        np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-12, atol=0)
