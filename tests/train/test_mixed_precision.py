"""Half and mixed precision. Nothing is bit for bit there: what is wanted is that we are no further from a run in float64
than twice as far as Keras is, from the same weights and slots. Scales and counters are exact."""

import json
import zipfile

import h5py
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf, tf_keras

from train.probe import core as probe
from train.test_optimizer_files import close, core, optimizer_arrays
from train.test_optimizers import KERAS2, KERAS3, SHAPES, gradients, normal

RATE = 0.01


def scaled_by_keras(rules, wrapper, factor, steps, scales):
    """Variables, the scale and its counter after `steps` of scaled gradients."""
    module = keras if rules == KERAS3 else tf_keras
    with floatx("float64"):
        values = [normal(*s, seed=50 + i) for i, s in enumerate(SHAPES)]
        make = keras.Variable if module is keras else tf.Variable
        variables = [make(v, dtype="float64", name=f"v{i}") for i, v in enumerate(values)]
        inner = module.optimizers.Adam(RATE, **({"loss_scale_factor": factor} if factor else {}))
        if rules == KERAS3:
            optimizer = keras.optimizers.LossScaleOptimizer(inner, **wrapper) if wrapper is not None else inner
        else:
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(inner, **wrapper)
        optimizer.build(variables)
        for grads in steps:
            scale = float(optimizer.scale_loss(1.0) if rules == KERAS3 else optimizer.loss_scale)
            scales.append(scale)
            grads = [tf.constant(g * scale) for g in grads]
            if rules == KERAS2:
                grads = optimizer.get_unscaled_gradients(grads)
            optimizer.apply_gradients(zip(grads, variables, strict=True))
        counter = getattr(optimizer, "step_counter", getattr(optimizer, "dynamic_counter", None))
        return (
            [v.numpy() for v in variables],
            float(optimizer.scale_loss(1.0) if rules == KERAS3 else optimizer.loss_scale),
            None if counter is None else int(counter),
            int(inner.iterations.numpy()),
        )


@pytest.mark.parametrize(
    "rules, wrapper, factor",
    [
        (KERAS3, {"initial_scale": 64.0, "dynamic_growth_steps": 2}, None),
        (KERAS3, {}, None),
        (KERAS3, None, 24.0),
        (KERAS2, {"initial_scale": 2.0, "dynamic_growth_steps": 2}, None),
        (KERAS2, {"dynamic": False, "initial_scale": 24.0}, None),
    ],
)
def test_scale(rules, wrapper, factor):
    steps = gradients(False) + gradients(False)
    if wrapper is not None and wrapper.get("dynamic", True):
        steps[1][2][0, 1, 0, 1] = np.inf
        steps[2][0][1, 1] = np.nan
    scales = []
    variables, scale, counter, iterations = scaled_by_keras(rules, wrapper, factor, steps, scales)
    config = {"learning_rate": RATE, "rules": rules}
    if wrapper is None:
        config["loss_scale_factor"] = factor
    else:
        config["loss_scale"] = {"dynamic": True, "initial_scale": 32768.0, "dynamic_growth_steps": 2000, **wrapper}
        if not config["loss_scale"]["dynamic"]:
            config["loss_scale"]["dynamic_growth_steps"] = None
    ours = probe().optimizer(
        json.dumps({"class_name": "Adam", "config": config}),
        rules == KERAS3,
        "float64",
        [torch.from_numpy(normal(*s, seed=50 + i)) for i, s in enumerate(SHAPES)],
        [[torch.from_numpy(g * s) for g in grads] for grads, s in zip(steps, scales, strict=True)],
    )
    for i, theirs in enumerate(variables):
        np.testing.assert_array_equal(ours[f"v{i}"].numpy(), theirs)
    assert ours["optimizer/iteration"] == iterations
    if counter is None:
        assert "optimizer/dynamic_scale" not in ours
    else:
        assert ours["optimizer/dynamic_scale"] == scale
        assert ours["optimizer/step_counter"] == counter


# --- whole models


def dense(k, policy):
    x = k.Input((8,))
    h = k.layers.Dense(16, "tanh", dtype=policy)(x)
    h = k.layers.BatchNormalization(dtype=policy)(h)
    h = k.layers.LayerNormalization(dtype=policy)(k.layers.Dense(16, "gelu", dtype=policy)(h))
    return k.Model(x, k.layers.Dense(3, dtype="float32" if policy.startswith("mixed") else policy)(h))


def images(k, policy):
    x = k.Input((8, 8, 3))
    h = k.layers.Conv2D(6, 3, activation="relu", dtype=policy)(x)
    h = k.layers.DepthwiseConv2D(3, padding="same", dtype=policy)(h)
    h = k.layers.MaxPooling2D(2, dtype=policy)(k.layers.BatchNormalization(dtype=policy)(h))
    h = k.layers.GlobalAveragePooling2D(dtype=policy)(h)
    return k.Model(x, k.layers.Dense(3, dtype=policy)(h))


def sequences(k, policy):
    x = k.Input((5, 8))
    h = k.layers.LSTM(6, return_sequences=True, dtype=policy)(x)
    h = k.layers.MultiHeadAttention(2, 3, dtype=policy)(h, h)
    h = k.layers.GRU(5, dtype=policy)(h)
    return k.Model(x, k.layers.Dense(3, dtype=policy)(h))


SIZES = {dense: (8,), images: (8, 8, 3), sequences: (5, 8)}


def batch(model, i):
    random = np.random.default_rng(i)
    return random.normal(size=(6, *SIZES[model])).astype("f"), random.normal(size=(6, 3)).astype("f")


def weights(model):
    return np.concatenate([np.asarray(w, "d").ravel() for w in model.get_weights()])


class policy_of:
    """The global policy, which decides whether compile() makes a LossScaleOptimizer."""

    def __init__(self, k, name):
        mixed = k.mixed_precision
        self.set = mixed.set_dtype_policy if k is keras else mixed.set_global_policy
        self.name = name
        # A policy that was set outlives a later set_floatx in tf_keras, and with it the tests that follow; None undoes it.
        self.before = "float32" if k is keras else None

    def __enter__(self):
        self.set(self.name)

    def __exit__(self, *_):
        self.set(self.before)


def compiled(k, make, policy, optimizer):
    model = make(k, policy)
    model.compile(optimizer, k.losses.MeanSquaredError())
    return model


def inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def exact(k, make, like):
    """The same model in float64, at the same point."""
    with floatx("float64"):
        model = compiled(k, make, "float64", type(inner(like.optimizer))(RATE))
        model.set_weights(like.get_weights())
        if hasattr(inner(like.optimizer), "build"):
            model.optimizer.build(model.trainable_variables)
            for ours, theirs in zip(model.optimizer.variables, inner(like.optimizer).variables, strict=True):
                ours.assign(theirs.numpy().astype(ours.numpy().dtype))
        return model


def resumed(k, make, policy, optimizer, path):
    k.utils.set_random_seed(1)
    with policy_of(k, policy if policy.startswith("mixed") else "float32"):
        theirs = compiled(k, make, policy, optimizer)
        for i in range(2):
            theirs.train_on_batch(*batch(make, i))
        theirs.save(path)
    return theirs, exact(k, make, theirs), core().resume(str(path))


def scale_of(optimizer):
    """Scale, finite steps."""
    if hasattr(optimizer, "dynamic_scale"):
        return float(optimizer.dynamic_scale), int(optimizer.step_counter)
    return float(optimizer.loss_scale), int(optimizer.dynamic_counter)


MODELS = [
    (keras, dense, "mixed_float16", ".keras"),
    (keras, images, "mixed_float16", ".h5"),
    (keras, sequences, "mixed_float16", ".keras"),
    (keras, images, "mixed_bfloat16", ".keras"),
    (tf_keras, dense, "mixed_float16", ".h5"),
    (tf_keras, images, "mixed_float16", ".keras"),
    (tf_keras, sequences, "mixed_float16", ".keras"),
    (tf_keras, dense, "mixed_bfloat16", ".keras"),
]


@pytest.mark.parametrize(
    "k, make, policy, ending", MODELS, ids=[f"{k.__name__}-{m.__name__}-{p}{e}" for k, m, p, e in MODELS]
)
def test_goes_on_no_further_from_float64_than_keras(k, make, policy, ending, tmp_path):
    theirs, reference, run = resumed(k, make, policy, k.optimizers.Adam(RATE), tmp_path / f"m{ending}")
    with floatx("float64"):
        for i in range(2, 6):
            reference.train_on_batch(*batch(make, i))
    for i in range(2, 6):
        x, y = batch(make, i)
        theirs.train_on_batch(x, y)
        run.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
    run.save(str(tmp_path / f"ours{ending}"))
    theirs.save(tmp_path / f"theirs{ending}")
    # The whole file: a Keras with the file's policy goes on from it.
    with policy_of(k, policy):
        ours = k.models.load_model(tmp_path / f"ours{ending}")
    wanted = weights(reference)
    assert np.linalg.norm(weights(ours) - wanted) <= 2 * np.linalg.norm(weights(theirs) - wanted)

    tensors = run.tensors()
    assert run.iterations == int(theirs.optimizer.iterations.numpy())
    if policy == "mixed_float16":
        assert float(tensors["optimizer/dynamic_scale"]) == scale_of(theirs.optimizer)[0]
        # tf_keras saves neither of the two: a Keras that loads the file counts anew, and so do we.
        if k is keras:
            assert int(tensors["optimizer/step_counter"]) == scale_of(theirs.optimizer)[1]
    else:
        assert "optimizer/dynamic_scale" not in tensors
    # Every array of the optimizer, at both of its places in a .keras.
    mine, whole = optimizer_arrays(tmp_path / f"ours{ending}"), optimizer_arrays(tmp_path / f"theirs{ending}")
    for i, (a, b) in enumerate(zip(mine, whole, strict=True)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.shape == ():
            assert a == b, f"number {i} of the optimizer"
    if ending == ".keras" and policy == "mixed_float16":
        for a, b in zip(mine[-3:], inner_arrays(tmp_path / "ours.keras")[-3:], strict=True):
            np.testing.assert_array_equal(a, b)


def inner_arrays(path):
    with zipfile.ZipFile(path) as z, z.open("model.weights.h5") as member, h5py.File(member) as f:
        group = f["optimizer/inner_optimizer/vars"]
        return [group[n][()] for n in sorted(group, key=int)]


@pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras", "legacy"])
def test_an_explicit_loss_scale_optimizer(k, tmp_path):
    """Around a model of full precision, where a power of two changes nothing: Keras 3's, and the old tf.keras'."""
    path = str(tmp_path / ("m.keras" if k is keras else "m.h5"))
    with floatx("float64"):
        if k is keras:
            optimizer = k.optimizers.LossScaleOptimizer(k.optimizers.Adam(RATE), 256.0, dynamic_growth_steps=3)
        else:
            adam = k.optimizers.legacy.Adam(RATE)
            optimizer = k.mixed_precision.LossScaleOptimizer(adam, dynamic=False, initial_scale=256.0)
        theirs = compiled(k, dense, "float64", optimizer)
        for i in range(2):
            theirs.train_on_batch(*batch(dense, i))
        theirs.save(path)
        run = core().resume(path)
        for i in range(2, 5):
            x, y = batch(dense, i)
            theirs.train_on_batch(x, y)
            run.train_step([torch.from_numpy(x).double()], [torch.from_numpy(y).double()])
    for name, w in zip(run.trainable(), theirs.trainable_variables, strict=True):
        close(run.to_source(name), w.numpy(), name)
    if k is keras:
        assert float(run.tensors()["optimizer/dynamic_scale"]) == 512.0
        assert int(run.tensors()["optimizer/step_counter"]) == 2


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_model_that_was_compiled_but_never_trained(ending, tmp_path):
    with policy_of(keras, "mixed_float16"):
        model = compiled(keras, dense, "mixed_float16", keras.optimizers.Adam(RATE))
        model.save(tmp_path / f"m{ending}")
        run = core().resume(str(tmp_path / f"m{ending}"))
        for i in range(4):
            x, y = batch(dense, i)
            run.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
            model.train_on_batch(x, y)
        run.save(str(tmp_path / f"ours{ending}"))
        model.save(tmp_path / f"theirs{ending}")
    ours, theirs = optimizer_arrays(tmp_path / f"ours{ending}"), optimizer_arrays(tmp_path / f"theirs{ending}")
    assert [(a.shape, a.dtype) for a in ours] == [(a.shape, a.dtype) for a in theirs]
    for a, b in zip(ours[:5], theirs[:5], strict=True):
        assert a == b
