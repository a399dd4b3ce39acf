"""examples/digits: the files in the repository belong together, and the demo ends where TensorFlow ends."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def digits(root):
    return root / "examples" / "digits"


@pytest.fixture(scope="module")
def demo(digits, executable, tmp_path_factory):
    """The demo's output folder and what it printed."""
    output = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, digits / "demo.py", "--midstream", executable, "--output", output],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output, done.stdout


def test_recorded_truth_is_what_keras_does_with_the_file(digits):
    from helpers.oracle import keras

    truth = json.loads((digits / "truth.json").read_text())
    with np.load(digits / "train.npz") as data:
        x, y = data["x"], data["y"]
    assert x.shape == (1437, 8, 8, 1)
    assert x.dtype == np.float32
    model = keras.models.load_model(digits / "digits.keras")
    assert int(model.optimizer.iterations.numpy()) == len(truth["before"]["loss"]) * 45
    for step, loss in enumerate(truth["first_step_losses"][:5]):
        batch = slice(step * truth["batch_size"], (step + 1) * truth["batch_size"])
        model.reset_metrics()
        ours = model.train_on_batch(x[batch], y[batch], return_dict=True)["loss"]
        assert float(ours) == pytest.approx(loss, rel=1e-5)


def test_demo_follows_tensorflow(digits, demo):
    output, text = demo
    truth = json.loads((digits / "truth.json").read_text())["after"]
    history = json.loads((output / "history.json").read_text())
    # float32 on both sides: what rounding alone makes of 225 steps.
    for name, values in truth.items():
        assert history[name] == pytest.approx(values, rel=1e-3, abs=2e-3), name
    assert "largest difference" in text
    assert (output / "digits.svg").read_text().startswith("<svg")


def test_what_the_demo_writes_is_what_it_says(digits, demo):
    from helpers.oracle import keras

    output, _ = demo
    model = keras.models.load_model(output / "digits.keras")
    assert int(model.optimizer.iterations.numpy()) == 8 * 45
    history = json.loads((output / "history.json").read_text())
    with np.load(digits / "test.npz") as data:
        found = model.evaluate(data["x"], data["y"], batch_size=32, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)
    assert found["accuracy"] == pytest.approx(history["val_accuracy"][-1], abs=1e-6)


def distances(ours, theirs) -> dict[str, float]:
    """Relative, by variable; the models are the same layers."""
    pairs = [(a.numpy(), b.numpy(), b.path) for a, b in zip(ours.variables, theirs.variables, strict=True)]
    return {path: np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30) for a, b, path in pairs}


def test_twenty_steps_differ_by_rounding_alone(digits, midstream, tmp_path):
    """Later in float32 they no longer do: sooner or later rounding puts a ReLU's input on the other side of zero, in
    TensorFlow too, when the images of a batch come in another order."""
    from helpers.oracle import keras

    steps = 20
    midstream(
        *("train", digits / "digits.keras", "--data", digits / "train.npz", "--steps", steps),
        *("--no-shuffle", "--quiet", "-o", tmp_path / "ours.keras"),
    )
    ours, theirs = (keras.models.load_model(p) for p in (tmp_path / "ours.keras", digits / "digits.keras"))
    with np.load(digits / "train.npz") as data:
        for i in range(steps):
            theirs.train_on_batch(data["x"][32 * i : 32 * i + 32], data["y"][32 * i : 32 * i + 32])
    found = distances(ours, theirs)
    assert max(found.values()) <= steps * 2**-23, found


def test_in_float64_the_whole_continuation_is_tensorflows(digits, midstream, tmp_path):
    from helpers.oracle import floatx, keras

    network = runpy.run_path(str(digits / "train_tensorflow.py"))["network"]
    saved = keras.models.load_model(digits / "digits.keras")
    with floatx("float64"):
        theirs = network()
        theirs.set_weights(saved.get_weights())
        theirs.compile(keras.optimizers.Adam(5e-4), keras.losses.SparseCategoricalCrossentropy())
        with np.load(digits / "train.npz") as data:
            x, y = data["x"].astype("float64"), data["y"]
        np.savez(tmp_path / "train.npz", x=x, y=y)
        theirs.fit(x[:32], y[:32], verbose=0)
        theirs.save(tmp_path / "model.keras")
        midstream(
            *("train", tmp_path / "model.keras", "--data", tmp_path / "train.npz", "--epochs", 5),
            *("--no-shuffle", "--quiet", "-o", tmp_path / "ours.keras"),
        )
        theirs.fit(x, y, batch_size=32, epochs=5, shuffle=False, verbose=0)
        ours = keras.models.load_model(tmp_path / "ours.keras")
        found = distances(ours, theirs)
    assert max(found.values()) <= 1e-9, found
