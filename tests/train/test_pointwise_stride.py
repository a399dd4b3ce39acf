"""PyTorch 2.13's float32 backward of a strided 1x1 convolution over few channels corrupts memory; midstream keeps away
from it. In a child process, since a failure is a crash."""

import os
import subprocess
import sys
from pathlib import Path

import midstream
import numpy as np
import pytest
from helpers.oracle import keras

STEPS = """
import sys
import numpy as np, torch
from midstream import _core as core
run = core.resume(sys.argv[1])
data = np.load(sys.argv[2])
for _ in range(20):
    run.train_step([torch.from_numpy(data["x"])], [torch.from_numpy(data["y"])])
np.savez(sys.argv[3], *[run.to_source(name) for name in run.trainable()])
"""


@pytest.mark.parametrize("channels", [3, 4, 8])
def test_strided_pointwise_convolution_trains(channels, tmp_path):
    x = keras.Input((16, 16, channels))
    h = keras.layers.Conv2D(7, 1, strides=2, activation="tanh")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(h)))
    model.compile(keras.optimizers.SGD(0.05), "mean_squared_error")
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(5, 16, 16, channels)).astype("f"), "y": random.normal(size=(5, 2)).astype("f")}
    np.savez(tmp_path / "d.npz", **data)
    model.save(tmp_path / "m.keras")
    words = [sys.executable, "-c", STEPS, *(str(tmp_path / n) for n in ("m.keras", "d.npz", "out.npz"))]
    environment = {**os.environ, "PYTHONPATH": str(Path(midstream.__file__).parents[1])}
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    for _ in range(20):
        model.train_on_batch(data["x"], data["y"])
    ours = list(np.load(tmp_path / "out.npz").values())
    for a, w in zip(ours, model.trainable_variables, strict=True):
        # 20 steps in float32, whose gradients are sums over 320 positions: 20 * sqrt(320) * 2^-24 of the step, twice.
        np.testing.assert_allclose(a, w.numpy(), rtol=0, atol=5e-5 * np.abs(w.numpy()).max())
