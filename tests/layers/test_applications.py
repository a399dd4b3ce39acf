"""The layers that keras.applications defines for its own models."""

import importlib

import midstream
import numpy as np
import pytest
import torch
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


def classes(module, model):
    return importlib.import_module(f"{module.__name__}.src.applications.{model}")


@pytest.mark.parametrize("module, format", [(keras, ".keras"), (tf_keras, ".keras"), (tf_keras, ".h5")])
def test_layer_scale(module, format):
    convnext = classes(module, "convnext")

    def build(k):
        x = k.Input((3, 5, 4))
        return k.Model(x, k.layers.Add()([x, convnext.LayerScale(1e-6, 4)(k.layers.Dense(4)(x))]))

    with module.utils.custom_object_scope(vars(convnext)):
        same_as_keras(build, module=module, format=format)


@both
def test_stochastic_depth_leaves_an_inference_alone(module):
    convnext = classes(module, "convnext")

    def build(k):
        x = k.Input((3, 4))
        return k.Model(x, convnext.StochasticDepth(0.5)(k.layers.Dense(4)(x)))

    with module.utils.custom_object_scope(vars(convnext)):
        same_as_keras(build, module=module, modes=[False])


def test_custom_scale_layer():
    inception = classes(keras, "inception_resnet_v2")

    def build(k):
        x = k.Input((3, 5, 4))
        return k.Model(x, inception.CustomScaleLayer(scale=0.17)([x, k.layers.Dense(4)(x)]))

    with keras.utils.custom_object_scope(vars(inception)):
        same_as_keras(build)


def test_stochastic_depth_drops_whole_examples(tmp_path):
    """Each is 0 or divided by what is kept of them; Keras' own training mode does the same."""
    x = keras.Input((3, 4))
    model = keras.Model(x, classes(keras, "convnext").StochasticDepth(0.25)(x))
    model.save(tmp_path / "m.keras")
    given = np.random.default_rng(0).normal(size=(400, 3, 4)).astype("float32")
    ours = midstream.load(tmp_path / "m.keras").train()(torch.from_numpy(given))
    theirs = model(keras.ops.convert_to_tensor(given), training=True)
    for y in (ours.detach().numpy(), np.asarray(theirs)):
        dropped = (y == 0).all(axis=(1, 2))
        np.testing.assert_allclose(y[~dropped], given[~dropped] / np.float32(0.75), rtol=1e-6)
        assert 60 < dropped.sum() < 140  # 100 expected, deviation 8.7
