"""inspect says in one go what opens and what trains; a metric without a lowering keeps nothing from training."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras
from midstream import _core as core


@keras.saving.register_keras_serializable("mine")
def score(y_true, y_pred):
    return keras.ops.mean(y_true - y_pred, -1)


@keras.saving.register_keras_serializable("mine")
class Score(keras.metrics.Mean):
    def update_state(self, y_true, y_pred, sample_weight=None):  # noqa: ARG002
        super().update_state(y_true - y_pred)


@keras.saving.register_keras_serializable("mine")
def strange(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), -1)


@keras.saving.register_keras_serializable("mine")
class Halving(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {}


def midstream(*words):
    program = os.environ["MIDSTREAM_BUILD"] + "/midstream"
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


def saved(path, **compile_options):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(3)(x))
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "loss": "mean_squared_error", **compile_options})
    model.save(path)
    return model


CASES = {
    "fine": ({}, [], True),
    "metric": ({"metrics": [score, Score(), "mae"]}, ["metric mine>score", "metric mine>Score"], True),
    "loss": ({"loss": strange}, ["loss mine>strange"], False),
    "schedule": ({"optimizer": lambda: keras.optimizers.SGD(Halving())}, ["schedule mine>Halving"], False),
    "optimizer": ({"optimizer": lambda: keras.optimizers.MultiOptimizer([keras.optimizers.Adam(), keras.optimizers.SGD()])}, ["optimizer MultiOptimizer"], False),
}


@pytest.mark.parametrize("name", CASES)
def test_inspect_lists_all_of_it(name, tmp_path):
    options, unsupported, trains = CASES[name]
    options = {k: v() if k == "optimizer" else v for k, v in options.items()}
    saved(tmp_path / "m.keras", **options)
    done = midstream("inspect", "--json", tmp_path / "m.keras")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [u["op"] for u in found["unsupported"]] == unsupported
    assert found["opens"] is True
    assert found["trains"] is trains
    assert len(found["inputs"]) == len(found["outputs"]) == 1
    text = midstream("inspect", tmp_path / "m.keras").stdout
    assert ("trained and written back" in text) is trains
    for what in unsupported:
        assert f"unsupported {what}" in text
    # What it says is so.
    assert midstream("convert", tmp_path / "m.keras", "-o", tmp_path / "out").returncode == 0
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 4), "f"), y=np.zeros((4, 3), "f"))
    trained = midstream("train", tmp_path / "m.keras", "--data", tmp_path / "d.npz", "-o", tmp_path / "t.keras")
    assert (trained.returncode == 0) is trains, trained.stderr
    if name == "metric":
        assert "without the metrics mine>score, mine>Score, which have no lowering" in trained.stdout


def test_the_training_is_the_same_without_the_metric(tmp_path):
    with floatx("float64"):
        model = saved(tmp_path / "m.keras", metrics=[score, "mean_absolute_error"])
        run = core.resume(str(tmp_path / "m.keras"))
        assert run.left_out_metrics == ["mine>score"]
        random = np.random.default_rng(0)
        for _ in range(3):
            x, y = random.normal(size=(5, 4)), random.normal(size=(5, 3))
            model.train_on_batch(x, y)
            logs = run.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
        assert set(dict(logs)) == {"loss", "mean_absolute_error"}
        for name, w in zip(run.trainable(), model.trainable_variables, strict=True):
            # Three steps, each rounding sums of five terms.
            np.testing.assert_allclose(run.to_source(name), w.numpy(), rtol=1e-12, atol=1e-14)
        run.save(str(tmp_path / "ours.keras"))
        again = keras.models.load_model(tmp_path / "ours.keras")
        np.testing.assert_array_equal(again.weights[0].numpy(), np.asarray(run.to_source(run.trainable()[0])))
