"""examples/digits: the files in the repository belong together, and the demo ends where TensorFlow ends."""

import json
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


def test_demo_ends_with_tensorflows_weights(digits, demo):
    from helpers.oracle import keras

    output, _ = demo
    model = keras.models.load_model(output / "digits.keras")
    assert int(model.optimizer.iterations.numpy()) == 8 * 45
    with np.load(digits / "truth_weights.npz") as truth:
        for variable in model.variables:
            ours = variable.numpy()
            assert np.abs(ours - truth[variable.path]).max() <= 1e-3 * max(1.0, np.abs(ours).max()), variable.path
