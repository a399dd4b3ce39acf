"""Every array that an optimizer keeps in a file is used: read slot by slot, gone on from, and written back."""

import zipfile

import h5py
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf_keras

from train.test_optimizers import NAMES, NAMES_OF

RATE = 0.01
# Keras-3-only arguments stand in the second table.
OPTIONS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.9}),
    ("AdamW", {"weight_decay": 0.01}),
    ("Adadelta", {}),
    ("Adagrad", {}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Nadam", {"use_ema": True, "ema_momentum": 0.9}),
    ("Ftrl", {}),
    ("Lion", {}),
]
ONLY_KERAS3 = [
    ("Adam", {"gradient_accumulation_steps": 2}),
    ("Nadam", {"gradient_accumulation_steps": 2}),
    ("Lamb", {"use_ema": True}),
    ("Muon", {"exclude_layers": ["second"]}),
    ("ScheduleFreeAdamW", {"warmup_steps": 5}),
]
LEGACY = ["SGD", "RMSprop", "Adam", "Adadelta", "Adagrad", "Adamax", "Nadam", "Ftrl"]
CASES = (
    [(keras, ending, *option) for ending in (".keras", ".h5") for option in OPTIONS + ONLY_KERAS3]
    + [(tf_keras, ending, *option) for ending in (".keras", ".h5") for option in OPTIONS]
    + [("legacy", ".h5", name, {}) for name in LEGACY]
    # Keras 3 cannot write it as .h5: two of its arrays have the same name.
    + [(keras, ".keras", "Adafactor", {}), (tf_keras, ".keras", "Adafactor", {}), (tf_keras, ".h5", "Adafactor", {})]
)
IDS = [f"{m if isinstance(m, str) else m.__name__}{e}-{n}{''.join('-' + k for k in o)}" for m, e, n, o in CASES]
# tf_keras saves no product for Nadam; midstream restores what the run would have had. After so many steps it is zero
# beside one, as exactly as float64 can say, so that the number of multiplications a step no longer shows.
STEPS_OF_NADAM = 24


def core():
    from midstream import _core

    return _core


def build(module, name, options):
    k = tf_keras if module == "legacy" else module
    optimizers = k.optimizers.legacy if module == "legacy" else k.optimizers
    x = k.Input((5,))
    h = k.layers.Dense(4, "tanh", name="first")(x)
    if name in ("Adafactor", "Muon"):  # a kernel of four axes, which is stored otherwise than in the file
        h = k.layers.Reshape((2, 2, 1))(h)
        h = k.layers.Flatten()(k.layers.Conv2D(3, 2, name="third")(h))
    model = k.Model(x, k.layers.Dense(3, name="second")(h))
    model.compile(getattr(optimizers, name)(RATE, **options), "mse")
    return model


def batch(i):
    random = np.random.default_rng(i)
    return random.normal(size=(6, 5)), random.normal(size=(6, 3))


def slots_of(module, name, model):
    """(weight, Keras 3's name of the slot) -> value."""
    optimizer, out = model.optimizer, {}
    named = lambda slot: NAMES_OF.get((name, slot), NAMES.get(slot, slot))  # noqa: E731
    for i, w in enumerate(model.trainable_variables):
        path = (w.path if module is keras else w.name.removesuffix(":0")).strip("/")
        if module == "legacy":
            for slot in optimizer.get_slot_names():
                out[i, named(slot)] = optimizer.get_slot(w, slot).numpy()
            continue
        for v in optimizer.variables:
            text = v.name if module is keras else v.name.removesuffix(":0")
            if module is keras and text.startswith(path.replace("/", "_") + "_"):
                out[i, text.removeprefix(path.replace("/", "_") + "_")] = v.numpy()
            elif module is not keras and text.endswith("/" + path):
                out[i, named(text.removesuffix("/" + path).rsplit("/", 1)[-1])] = v.numpy()
        if name == "Adafactor" and module is keras:  # these bear the variable's own name
            out[i, "r"], out[i, "c"] = optimizer._r[i].numpy(), optimizer._c[i].numpy()
    return out


def optimizer_arrays(path):
    """All of the file's arrays of the optimizer, in the file's order."""
    if path.suffix == ".h5":
        with h5py.File(path) as f:
            group = f["optimizer_weights"]
            return [group[n][()] for n in group.attrs["weight_names"]]
    with zipfile.ZipFile(path) as z, z.open("model.weights.h5") as member, h5py.File(member) as f:
        group = f["optimizer/vars"]
        return [group[n][()] for n in sorted(group, key=int)]


def close(a, b, what):
    # 24 steps of at most 1 ulp of the gradient's reductions each, and Adam's ratio near zero magnifies by 1e3.
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-11, atol=1e-13, err_msg=what)


@pytest.mark.parametrize("module, ending, name, options", CASES, ids=IDS)
def test_every_array_is_read_used_and_written(module, ending, name, options, tmp_path):
    with floatx("float64"):
        theirs = build(module, name, options)
        steps = STEPS_OF_NADAM if name == "Nadam" and module is tf_keras else 3
        for i in range(steps):
            theirs.train_on_batch(*batch(i))
        path = tmp_path / f"m{ending}"
        theirs.save(path)
        run = core().resume(str(path))
        assert run.iterations == steps

        # Read: each slot is there under its own name, bit for bit.
        for (i, slot), value in slots_of(module, name, theirs).items():
            ours = run.to_source(f"optimizer/{run.trainable()[i]}/{slot}")
            np.testing.assert_array_equal(ours, value, err_msg=f"{slot} of weight {i}")
        if name == "Nadam" and module is keras:
            assert float(run.tensors()["optimizer/u_product"]) == float(theirs.optimizer._u_product.numpy())

        # Used: the next steps are those of the run that was never interrupted.
        for i in range(steps, steps + 3):
            x, y = batch(i)
            theirs.train_on_batch(x, y)
            run.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
        for ours, w in zip(run.trainable(), theirs.trainable_variables, strict=True):
            close(run.to_source(ours), w.numpy(), ours)

        # Written: every array of the optimizer is what Keras would have written.
        run.save(str(tmp_path / f"ours{ending}"))
        theirs.save(tmp_path / f"theirs{ending}")
        ours, wanted = optimizer_arrays(tmp_path / f"ours{ending}"), optimizer_arrays(tmp_path / f"theirs{ending}")
        for i, (a, b) in enumerate(zip(ours, wanted, strict=True)):
            close(a, b, f"array {i} of the optimizer")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_slots_of_a_scalar_weight_are_no_counters(ending, tmp_path):
    """Attention's scale is a weight without axes, and so are its moments."""
    with floatx("float64"):
        q, v = keras.Input((3, 4)), keras.Input((5, 4))
        model = keras.Model([q, v], keras.layers.Dense(2)(keras.layers.Attention(use_scale=True)([q, v])))
        model.compile(keras.optimizers.Nadam(RATE), "mse")
        random = np.random.default_rng(0)
        data = [(random.normal(size=(4, 3, 4)), random.normal(size=(4, 5, 4))) for _ in range(5)]
        targets = [random.normal(size=(4, 3, 2)) for _ in range(5)]
        for x, y in zip(data[:3], targets[:3], strict=True):
            model.train_on_batch(list(x), y)
        model.save(tmp_path / f"m{ending}")
        run = core().resume(str(tmp_path / f"m{ending}"))
        for x, y in zip(data[3:], targets[3:], strict=True):
            model.train_on_batch(list(x), y)
            run.train_step([torch.from_numpy(v) for v in x], [torch.from_numpy(y)])
        for name, w in zip(run.trainable(), model.trainable_variables, strict=True):
            close(run.to_source(name), w.numpy(), name)


def test_floatx_is_not_taken_from_an_operation(tmp_path):
    """A Masking layer and keras.ops leave operations before the first layer, which have no dtype."""
    with floatx("float64"):
        x = keras.Input((5,))
        model = keras.Model(x, keras.layers.Dense(3)(keras.ops.tanh(x) * 2.0))
        model.compile(keras.optimizers.Adam(0.1), "mse")
        for i in range(2):
            model.train_on_batch(*batch(i))
        model.save(tmp_path / "m.keras")
        uncompiled = keras.Model(x, keras.layers.Dense(3)(keras.ops.tanh(x)))
        uncompiled.compile("adam", "mse")
        uncompiled.save(tmp_path / "new.keras")
        run = core().resume(str(tmp_path / "m.keras"))
        assert float(run.tensors()["optimizer/learning_rate"]) == 0.1
        new = core().resume(str(tmp_path / "new.keras"))
        for i in range(2, 4):
            x, y = batch(i)
            for theirs, ours in ((model, run), (uncompiled, new)):
                theirs.train_on_batch(x, y)
                ours.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
        for theirs, ours in ((model, run), (uncompiled, new)):
            for name, w in zip(ours.trainable(), theirs.trainable_variables, strict=True):
                close(ours.to_source(name), w.numpy(), name)
