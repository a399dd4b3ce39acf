"""The options of `midstream train` beside data and epochs, and `ops`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.oracle import floatx, keras, tf, tf_keras

STEPS, BATCH = 5, 8
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(STEPS * BATCH, 6)), RNG.integers(0, 3, STEPS * BATCH)


def classifier(k):
    k.utils.set_random_seed(1)
    inner = k.Sequential([k.layers.Dense(4, "relu", name="inner")], name="block")
    model = k.Sequential(
        [
            k.Input((6,)),
            k.layers.Dense(5, "tanh", name="hidden"),
            inner,
            k.layers.LayerNormalization(name="norm"),
            k.layers.Dense(3, name="scores"),
        ]
    )
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(2**-6, 0.875, 0.96875, 2**-20), loss)
    return model


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    return tmp_path / "data.npz"


def train(*more):
    return "train", "model.keras", "--data", "data.npz", "--no-shuffle", "--batch-size", BATCH, *more


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_a_float32_file_in_float64(module, midstream, data, tmp_path):
    """TensorFlow, given the same model with float64 layers, comes to the same; the file has float32 again."""
    with floatx("float32"):
        model = classifier(module)
        model.fit(X, Y, BATCH, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
    with floatx("float64"):
        wide = classifier(module)
        wide.optimizer.build(wide.trainable_variables)
        wide.set_weights(model.get_weights())
        for to, value in zip(wide.optimizer.variables, model.optimizer.variables, strict=True):
            to.assign(tf.cast(value, to.dtype))
        wide.fit(X, Y, BATCH, shuffle=False, verbose=0)
    midstream(*train("--dtype", "float64", "-o", "out.keras"))
    ours = module.models.load_model(tmp_path / "out.keras")
    for got, want in zip(ours.get_weights(), wide.get_weights(), strict=True):
        assert got.dtype == np.float32
        # 2^-24: float64 rounded to float32; 1e-12: two trainings in float64. Trained in float32, some weights are off
        # by several times as much.
        np.testing.assert_allclose(got, want, rtol=2**-24, atol=1e-12)


def test_other_dtypes_are_refused(midstream, data, tmp_path):
    classifier(keras).save(tmp_path / "model.keras")
    assert "float32 or float64" in midstream(*train("--dtype", "int8", "-o", "out.keras"), code=2).stderr
    assert not (tmp_path / "out.keras").exists()


def test_trained_into_pytorch_source(midstream, data, tmp_path):
    model = classifier(keras)
    model.fit(X, Y, BATCH, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    midstream(*train("-o", "out.keras"))
    midstream(*train("-o", "package/"))
    assert {p.name for p in (tmp_path / "package").iterdir()} == {
        *("model.py", "training.py", "README.md", "weights.safetensors", "state.safetensors")
    }
    run = "import numpy as np, torch; from model import load; x = torch.from_numpy(np.load('../data.npz')['x']).float()"
    run += "; np.save('y.npy', load().eval()(x).detach().numpy())"
    subprocess.run([sys.executable, "-c", run], cwd=tmp_path / "package", check=True)
    want = keras.models.load_model(tmp_path / "out.keras").predict(X, verbose=0)
    # Four layers of float32 numbers up to 4, at most eight roundings of 2^-24 in each: 2^-17.
    np.testing.assert_allclose(np.load(tmp_path / "package" / "y.npy"), want, rtol=0, atol=2**-17)
    assert "one without ending" in midstream(*train("-o", "out.h5"), code=2).stderr


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "mixed_bfloat16"])
def test_files_of_half_precision_open(name, midstream, data, tmp_path):
    """The learning rate of such a file is float32 whatever the weights and slots are. (2^-10 is exact in all.)"""
    with policy(name):
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(2**-10), loss)
        model.fit(X, Y, BATCH, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
    assert "step 5, learning rate 0.000976562, state in the file" in midstream("inspect", "model.keras").stdout
    midstream("convert", "model.keras", "-o", "package")


def scalars(directory):
    """tag -> values by step, as TensorFlow reads the event files."""
    found = {}
    for path in directory.glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_a_log_for_tensorboard(midstream, data, tmp_path):
    model = classifier(keras)
    model.compile("sgd", model.loss, metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    more = ["--validation", "data.npz", "--epochs", 3, "--log-dir", "log", "--history", "history.json"]
    midstream(*train(*more, "-o", "out.keras"))
    history = json.loads((tmp_path / "history.json").read_text())
    found = {part: scalars(tmp_path / "log" / part) for part in ("train", "validation")}
    assert set(found["train"]) == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"}
    assert set(found["validation"]) == {"epoch_loss", "epoch_accuracy"}
    for part, prefix in (("train", ""), ("validation", "val_")):
        for name in ("loss", "accuracy"):
            want = {epoch: np.float32(value) for epoch, value in enumerate(history[prefix + name])}
            assert found[part][f"epoch_{name}"] == want and len(want) == 3
    assert found["train"]["epoch_learning_rate"] == dict.fromkeys(range(3), np.float32(0.01))


def test_a_log_that_cannot_be_written_stops_nothing_halfway(midstream, data, tmp_path):
    classifier(keras).save(tmp_path / "model.keras")
    (tmp_path / "log").write_text("a file")
    done = midstream(*train("--log-dir", "log", "-o", "out.keras"), code=2)
    assert "log/train" in done.stderr and "epoch" not in done.stdout


@pytest.mark.parametrize("frontend", ["keras", "tensorflow", "onnx", "tflite"])
def test_ops_of_one_frontend(frontend, midstream):
    titles = [
        line.split(" (")[0] for line in midstream("ops", "--frontend", frontend).stdout.splitlines() if line[0] != " "
    ]
    assert titles and all(title.split(".")[0] == frontend for title in titles)
