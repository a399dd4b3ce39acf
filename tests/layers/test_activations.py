"""Every activation function, at ordinary values and at the kinks."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

KERAS3 = """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
squareplus tanh tanh_shrink""".split()
KERAS2 = """elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh
leaky_relu""".split()

# 0, the thresholds (0.5, 1, 2.5, 3, 6), large values, and numbers between them.
EDGES = np.array([0, -0.0, 0.5, -0.5, 1, -1, 2.5, -2.5, 3, -3, 6, -6, 7, -7, 25, -25, 38, -38, 1e-9, -1e-9, 0.3, -0.3])
X = np.stack([EDGES, np.random.default_rng(3).normal(size=EDGES.size) * 2])


@pytest.mark.parametrize("name", KERAS3)
def test_keras3(name):
    same_as_keras(outputs_of((EDGES.size,), lambda k: k.layers.Activation(name)), inputs=[X])


@pytest.mark.parametrize("name", KERAS2)
def test_keras2(name):
    same_as_keras(outputs_of((EDGES.size,), lambda k: k.layers.Activation(name)), module=tf_keras, inputs=[X])


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_activation_layers(module):
    slope = "negative_slope" if module is keras else "alpha"
    same_as_keras(
        outputs_of(
            (EDGES.size,),
            lambda k: k.layers.ReLU(),
            lambda k: k.layers.ReLU(max_value=6.0),
            lambda k: k.layers.ReLU(max_value=2.3),
            lambda k: k.layers.ReLU(negative_slope=0.1),
            lambda k: k.layers.ReLU(threshold=0.7),
            lambda k: k.layers.ReLU(max_value=2.3, negative_slope=0.1),
            lambda k: k.layers.ReLU(max_value=6.0, negative_slope=0.1, threshold=0.7),
            lambda k: k.layers.LeakyReLU(),
            lambda k: k.layers.LeakyReLU(**{slope: 0.1}),
            lambda k: k.layers.ELU(),
            lambda k: k.layers.ELU(alpha=0.3),
            lambda k: k.layers.Softmax(),
            lambda k: k.layers.PReLU(),
        ),
        module=module,
        inputs=[X],
    )


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_prelu_and_softmax_axes(module):
    same_as_keras(
        outputs_of(
            (3, 4, 2),
            lambda k: k.layers.PReLU(),
            lambda k: k.layers.PReLU(shared_axes=[1, 2]),
            lambda k: k.layers.PReLU(shared_axes=3),
            lambda k: k.layers.Softmax(axis=1),
            lambda k: k.layers.Softmax(axis=[2, 3]),
        ),
        module=module,
    )


def test_thresholded_relu():
    same_as_keras(outputs_of((EDGES.size,), lambda k: k.layers.ThresholdedReLU(theta=0.5)), module=tf_keras, inputs=[X])


def test_activations_over_rank_4():
    names = ["softmax", "log_softmax", "sparsemax", "glu"]
    same_as_keras(outputs_of((3, 2, 4), *[lambda k, n=n: k.layers.Activation(n) for n in names]))
