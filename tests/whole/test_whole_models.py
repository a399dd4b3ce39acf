"""Whole models, saved in the middle of their training, end where the Keras ends that loads the file and goes on."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from helpers.layers import save
from helpers.oracle import floatx, keras, tf_keras

from whole.cases import CASES
from whole.continuation import (
    STEPS,
    arrays_of,
    compare_arrays,
    compare_logs,
    goes_on_as_keras,
    load,
    one,
    saved_mid_run,
    step_of,
    train,
    train_run,
)

MODULES = {"keras3": keras, "tf_keras": tf_keras}
# Keras 3's own .keras of every model; other writers of some.
BY_KERAS_3 = [(name, "keras3", ".keras") for name in CASES]
OTHERS = [
    ("mlp", "tf_keras", ".keras"),
    ("mlp", "tf_keras", ".h5"),
    ("digits", "tf_keras", ".keras"),
    ("bilstm", "tf_keras", ".h5"),
    ("grus", "tf_keras", ".keras"),
    ("wavenet", "tf_keras", ".keras"),
    ("transformer", "tf_keras", ".keras"),
    ("two_headed", "tf_keras", ".h5"),
    ("unet", "tf_keras", ".keras"),
    ("autoencoder", "tf_keras", ".keras"),
]


@pytest.mark.parametrize("name, module, ending", BY_KERAS_3 + OTHERS)
def test_goes_on_as_keras_does(name, module, ending, tmp_path):
    with floatx("float64"):
        goes_on_as_keras(CASES[name], MODULES[module], tmp_path, ending)


@pytest.mark.parametrize("name", ["mlp", "transformer", "two_headed"])
def test_an_h5_of_keras_3_becomes_what_keras_writes(name, tmp_path):
    """Keras 3 reads no optimizer back from its own .h5 files: its variables are compared in the files that both write,
    after the Keras that wrote the first one has gone on in memory."""
    import midstream

    case = CASES[name]
    with floatx("float64"):
        theirs = saved_mid_run(case, keras, tmp_path / "model.h5")
        run = midstream.resume(tmp_path / "model.h5")
        batches = case.batches(STEPS, seed=8)
        compare_logs(train_run(run, batches), train(theirs, batches))
        midstream.save(run, tmp_path / "ours.h5")
        save(theirs, tmp_path / "theirs.h5")
        expected = datasets(tmp_path / "theirs.h5")
        ours = datasets(tmp_path / "ours.h5")
        assert list(ours) == list(expected) and any("momentum" in name for name in ours)
        compare_arrays(list(ours.values()), [(kind_of(n), n, value) for n, value in expected.items()]).done()
        loaded = [v.numpy() for v in load(keras, tmp_path / "ours.h5").weights]
        compare_arrays(loaded, [("weight", v.path, v.numpy()) for v in theirs.weights]).done()


def datasets(path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def kind_of(name: str) -> str:
    """The slot that an array of the file is, by the end of its name."""
    return name.rsplit("_", 1)[-1] if name.startswith("optimizer_weights") else "weight"


@pytest.mark.parametrize("name, module, ending", [("digits", "keras3", ".keras"), ("two_headed", "tf_keras", ".h5")])
def test_the_command_goes_on_as_keras_does(midstream, name, module, ending, tmp_path):
    from midstream import _core

    case, module = CASES[name], MODULES[module]
    with floatx("float64"):
        path, written = tmp_path / f"model{ending}", tmp_path / f"ours{ending}"
        saved_mid_run(case, module, path)
        theirs = load(module, path)
        batches = case.batches(STEPS, seed=8)
        xs = [np.concatenate(parts) for parts in zip(*(x for x, _ in batches), strict=True)]
        ys = [np.concatenate(parts) for parts in zip(*(y for _, y in batches), strict=True)]
        core = _core.resume(str(path))
        arrays = {**named("x", xs, core.input_names()), **named("y", ys, core.output_names())}
        np.savez(tmp_path / "data.npz", **arrays)
        midstream(
            *("train", path, "--data", tmp_path / "data.npz", "--steps", STEPS, "--batch-size", case.batch),
            *("--no-shuffle", "--quiet", "-o", written),
        )
        train(theirs, batches)
        ours = load(module, written)
        assert step_of(ours) == step_of(theirs)
        compare_arrays([value for *_, value in arrays_of(ours)], list(arrays_of(theirs))).done()


def named(kind: str, arrays: list[np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    return {f"{kind}:{n}": a for n, a in zip(names, arrays, strict=True)} if len(arrays) > 1 else {kind: one(arrays)}
