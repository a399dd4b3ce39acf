"""`midstream verify`: what it says of the same model and of another one, and its exit codes."""

from __future__ import annotations

import json
import sys

import pytest
from helpers.oracle import keras, tf_keras


def classifier(k, seed):
    k.utils.set_random_seed(seed)
    image = k.Input((6, 6, 2), name="image")
    x = k.layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    x = k.layers.BatchNormalization(name="norm")(x)
    return k.Model(image, k.layers.Dense(4, name="scores")(k.layers.Flatten()(x)))


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_the_same_model(module, midstream, tmp_path):
    classifier(module, 0).save(tmp_path / "model.keras")
    done = midstream("verify", "model.keras", "--oracle", sys.executable, "--save-trace", "trace.npz")
    assert "the same model in outputs and gradients (14 comparisons)" in done.stdout  # an output, 6 gradients; 2 modes
    again = midstream("verify", "model.keras", "--reference", "trace.npz", "--json")
    found = json.loads(again.stdout)
    assert found["same"] and len(found["rows"]) == 14


def test_another_model(midstream, tmp_path):
    """The trace of one model beside a file of another: exit code 3, and the first place named."""
    classifier(keras, 0).save(tmp_path / "model.keras")
    model = classifier(keras, 0)
    model.get_layer("scores").bias.assign_add([0, 0, 1e-3, 0])
    model.save(tmp_path / "other.keras")
    midstream("verify", "model.keras", "--oracle", sys.executable, "--save-trace", "trace.npz")
    done = midstream("verify", "other.keras", "--reference", "trace.npz", code=3)
    assert "DIFFERENT" in done.stdout and "other.keras: different, first at" in done.stdout
    found = json.loads(midstream("verify", "other.keras", "--reference", "trace.npz", "--json", code=3).stdout)
    assert not found["same"]


def test_wrong_usage(midstream, tmp_path):
    classifier(keras, 0).save(tmp_path / "model.keras")
    assert "--oracle" in midstream("verify", "model.keras", code=2).stderr
    assert "TensorFlow" in midstream("verify", "model.keras", "--oracle", "false", code=2).stderr
    midstream("verify", "model.keras", "--save-trace", "trace.npz", code=2)
