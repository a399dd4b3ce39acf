"""Entries of a loss's, metric's, optimizer's, schedule's, regularizer's or constraint's config that nothing knows are
refused by name, and every entry that Keras itself writes is known."""

import inspect
import json
import zipfile

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import keras, tf_keras
from midstream import _core as core


def model_with(k):
    x = k.Input((4,))
    h = k.layers.Dense(3, kernel_regularizer=k.regularizers.L2(0.01), kernel_constraint=k.constraints.MaxNorm(2.0))(x)
    model = k.Model(x, h)
    rate = k.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model.compile(k.optimizers.SGD(rate), k.losses.Huber(), metrics=[k.metrics.MeanAbsoluteError()])
    return model


def find(document, name):
    """The config of the object of this class, wherever it stands."""
    if isinstance(document, dict):
        if document.get("class_name") == name:
            yield document["config"]
        for value in document.values():
            yield from find(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from find(value, name)


@pytest.mark.parametrize("name", ["Huber", "SGD", "ExponentialDecay", "L2", "MaxNorm"])
def test_an_unknown_entry_is_refused(name, tmp_path):
    model_with(keras).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as z:
        members = {n: z.read(n) for n in z.namelist()}
    document = json.loads(members["config.json"])
    configs = list(find(document, name))
    assert configs
    for config in configs:
        config["sharpness"] = 2.5
    members["config.json"] = json.dumps(document)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as z:
        for n, data in members.items():
            z.writestr(n, data)
    step = [torch.zeros(2, 4)], [torch.zeros(2, 3)]
    core.resume(str(tmp_path / "m.keras")).train_step(*step)
    with pytest.raises(core.UnsupportedError, match=rf"{name}\(sharpness=2\.5\)"):
        core.resume(str(tmp_path / "other.keras")).train_step(*step)
    # Whoever wants the outputs alone gets them where they do not depend on it.
    if name not in ("L2", "MaxNorm"):
        midstream.load(tmp_path / "other.keras")(torch.zeros(2, 4))


ARGUMENTS = {
    "CosineDecay": (0.1, 3),
    "CosineDecayRestarts": (0.1, 3),
    "ExponentialDecay": (0.1, 3, 0.5),
    "InverseTimeDecay": (0.1, 3, 0.5),
    "PiecewiseConstantDecay": ([3], [0.1, 0.2]),
    "PolynomialDecay": (0.1, 3),
}


def objects(k):
    for kind, module, base in (
        ("loss", k.losses, k.losses.Loss),
        ("optimizer", k.optimizers, k.optimizers.Optimizer),
        ("schedule", k.optimizers.schedules, k.optimizers.schedules.LearningRateSchedule),
    ):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, base) and cls is not base and name not in SKIPPED:
                yield kind, name, cls


# What has no lowering is refused under its own name. (The lists of both are held against each other below.)
SKIPPED = {"LossScaleOptimizer", "MultiOptimizer", "LossScaleOptimizerV3"}
CASES = [(k, *o) for k in (keras, tf_keras) for o in objects(k)]


@pytest.mark.parametrize("k, kind, name, cls", CASES, ids=[f"{c[0].__name__}-{c[2]}" for c in CASES])
def test_what_keras_writes_is_known(k, kind, name, cls, tmp_path):
    x = k.Input((4,))
    model = k.Model(x, k.layers.Dense(3, "softmax")(x))
    made = cls(*ARGUMENTS.get(name, ()))
    optimizer = made if kind == "optimizer" else k.optimizers.SGD(made if kind == "schedule" else 0.1)
    model.compile(optimizer, made if kind == "loss" else "mean_squared_error")
    model.save(tmp_path / "m.keras")
    try:
        run = core.resume(str(tmp_path / "m.keras"))
        y = torch.tensor([0, 1]) if "Sparse" in name or name == "CTC" else torch.from_numpy(np.eye(3)[:2])
        run.train_step([torch.zeros(2, 4)], [y])
    except midstream.Error as error:
        assert f"{name}(" not in str(error), error  # noqa: PT017


def test_what_compile_was_given(tmp_path):
    """Every entry of compile() is used, says only how the step is run, or is refused by name where training begins."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", loss_weights=[0.5], run_eagerly=True, steps_per_execution=2, jit_compile=False)
    model.save(tmp_path / "m.keras")
    step = [torch.zeros(2, 4)], [torch.zeros(2, 3)]
    core.resume(str(tmp_path / "m.keras")).train_step(*step)
    with zipfile.ZipFile(tmp_path / "m.keras") as z:
        members = {n: z.read(n) for n in z.namelist()}
    for entry, value in (("auto_scale_loss", False), ("sharpness", 2.5), ("loss_weights", ["much"])):
        document = json.loads(members["config.json"])
        document["compile_config"][entry] = value
        with zipfile.ZipFile(tmp_path / "other.keras", "w") as z:
            for n, data in members.items():
                z.writestr(n, json.dumps(document) if n == "config.json" else data)
        with pytest.raises(core.UnsupportedError, match=entry):
            core.resume(str(tmp_path / "other.keras")).train_step(*step)
        midstream.load(tmp_path / "other.keras")(torch.zeros(2, 4))


def test_labels_that_do_not_fit_a_sparse_loss(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    run = core.resume(str(tmp_path / "m.keras"))
    with pytest.raises(midstream.Error, match=r"labels have the shape .*One-hot labels go with"):
        run.train_step([torch.zeros(3, 4)], [torch.eye(3)])
    with pytest.raises(midstream.Error, match=r"labels have the shape .*Give the indices"):
        run.train_step([torch.zeros(3, 4)], [torch.zeros(3, 2)])
