"""Files of weights alone, with the configuration beside them: to_json(), or another file of the same model."""

import json
import re

import h5py
import midstream
import numpy as np
import pytest
from helpers.oracle import floatx, keras, tf_keras

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((8, 5, 4)), RNG.standard_normal((8, 2))


def build(k):
    layers = k.layers
    x = k.Input((5, 4))
    h = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    h = layers.BatchNormalization()(layers.Conv1D(4, 2, use_bias=False)(h))
    inner = k.Sequential([k.Input((4,)), layers.Dense(3, activation="tanh")], name="inner")
    return k.Model(x, layers.Dense(2)(inner(layers.GlobalAveragePooling1D()(h))))


def optimizer(k):
    return k.optimizers.Adam(0.01)


@pytest.mark.parametrize(
    ("k", "name", "beside"),
    [(keras, "w.weights.h5", ".json"), (tf_keras, "w.weights.h5", ".keras"), (tf_keras, "w.h5", ".json"),
     (tf_keras, "w.h5", ".h5")],
)  # fmt: skip
def test_weights_with_configuration_beside(k, name, beside, tmp_path):
    """Outputs; three steps of training; the weights and, in Keras 3's files, the optimizer read again by Keras."""
    with floatx("float64"):
        model = build(k)
        model.compile(optimizer(k), "mse")
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        weights, architecture, out = tmp_path / name, tmp_path / f"a{beside}", tmp_path / f"out_{name}"
        model.save_weights(weights)
        plain = build(k)  # never compiled, other numbers
        if beside == ".json":
            architecture.write_text(plain.to_json())
        else:
            plain.save(architecture)
        module = midstream.load(weights, architecture=architecture)
        np.testing.assert_allclose(module(midstream._run.tensors(X)[0]).detach(), model.predict(X, verbose=0), atol=1e-12)
        has_state = name.endswith(".weights.h5")
        run = midstream.resume(
            weights, architecture=architecture, loss="mse", optimizer="adam", learning_rate=0 if has_state and k is keras else 0.01
        )
        assert run.learning_rate == pytest.approx(0.01, rel=1e-15)
        assert run.step == (4 if has_state else 0)
        if not has_state:  # Keras' own start with these weights
            fresh = build(k)
            fresh.set_weights(model.get_weights())
            fresh.compile(optimizer(k), "mse")
            model = fresh
        for _ in range(3):
            model.train_on_batch(X, Y)
            run.train_step(X, Y)
        midstream.save(run, out)
        again = build(k)
        again.compile(optimizer(k), "mse")
        again.train_on_batch(X, Y)
        again.load_weights(out)
        for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
        if has_state:
            variables = again.optimizer.variables
            variables = variables() if callable(variables) else variables
            wanted = model.optimizer.variables
            wanted = wanted() if callable(wanted) else wanted
            for ours, theirs in zip(variables, wanted, strict=True):
                np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=0, atol=1e-12)
        assert midstream.resume(out, architecture=architecture, loss="mse", optimizer="adam").step == run.step


def test_a_module_is_written_into_a_file_of_weights(tmp_path):
    model = build(keras)
    weights, architecture = tmp_path / "w.weights.h5", tmp_path / "a.json"
    model.save_weights(weights)
    architecture.write_text(model.to_json())
    module = midstream.load(weights, architecture=architecture)
    for p in module.parameters():
        p.data.mul_(2)
    midstream.save(module, tmp_path / "twice.weights.h5")
    again = build(keras)
    again.load_weights(tmp_path / "twice.weights.h5")
    for ours, theirs in zip(again.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, 2 * np.array(theirs))


def test_what_is_not_there_is_asked_for(midstream, tmp_path):
    model = build(keras)
    weights, architecture, whole = tmp_path / "w.weights.h5", tmp_path / "a.json", tmp_path / "whole.keras"
    model.save_weights(weights)
    architecture.write_text(model.to_json())
    model.save(whole)
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    assert "--architecture" in midstream("inspect", weights, code=1).stderr
    assert "--architecture" in midstream("inspect", architecture, code=2).stderr
    assert "needs no architecture" in midstream("inspect", whole, "--architecture", architecture, code=2).stderr
    shown = midstream("inspect", weights, "--architecture", architecture).stdout
    assert re.search(r"layers +\d", shown) and "bidirectional" in shown
    train = ["train", weights, "--architecture", architecture, "--data", tmp_path / "d.npz", "-o", tmp_path / "o.weights.h5"]
    assert "--loss and --optimizer" in midstream(*train, code=1).stderr
    assert "--optimizer" in midstream(*train, "--loss", "mse", code=2).stderr
    assert "--loss" in midstream(*train, "--optimizer", "adam", code=2).stderr
    done = midstream(*train, "--loss", "mse", "--optimizer", "adam", "--learning-rate", "0.02", "--steps", "2")
    assert "learning rate 0.02" in done.stdout
    with h5py.File(tmp_path / "o.weights.h5") as f:
        assert f["optimizer/vars/0"][()] == 2
    # A whole model that was never compiled: its file gets the weights, and says so.
    done = midstream("train", whole, "--data", tmp_path / "d.npz", "--loss", "mse", "--optimizer", "sgd", "--steps", "1",
                     "-o", tmp_path / "o.keras")  # fmt: skip
    assert "no place for the optimizer" in done.stdout
    assert keras.models.load_model(tmp_path / "o.keras").compiled is False
    model.compile("adam", "mse")
    model.save(whole)
    assert "Adam" in midstream("train", whole, "--data", tmp_path / "d.npz", "--optimizer", "sgd", "-o",
                               tmp_path / "o.keras", code=2).stderr  # fmt: skip
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    assert "to_json" in midstream("inspect", weights, "--architecture", tmp_path / "other.json", code=1).stderr


def test_a_loss_overrules_the_files(tmp_path):
    with floatx("float64"):
        model = build(keras)
        model.compile(optimizer(keras), "mae")
        model.save(tmp_path / "m.keras")
        run = midstream.resume(tmp_path / "m.keras", loss="mse", learning_rate=0.5)
        model.compile(keras.optimizers.Adam(0.5), "mse")
        for _ in range(2):
            run.core.reset_metrics()
            ours, theirs = run.train_step(X, Y), model.train_on_batch(X, Y, return_dict=True)
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-12)
