"""training.py of a converted model: plain PyTorch goes on where Keras stopped, slots included."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf_keras

STEPS, RATE = 10, 2**-7  # exact in float32, which Keras takes it through (as it does 0.875)
RUN = """
import numpy as np, torch
import training
from model import load

data = np.load("data.npz")
model = load()
optimizer = training.make_optimizer(model)
for step, (x, y) in enumerate(zip(data["x"], data["y"])):
    training.train_step(model, optimizer, torch.from_numpy(x), torch.from_numpy(y), training.first_step() + step)
np.savez("out.npz", **{k: v.numpy() for k, v in model.state_dict().items()})
"""


def digits_like(k):
    image = k.Input((6, 6, 2))
    x = k.layers.Conv2D(3, 3, name="conv")(image)
    x = k.layers.Dense(5, "tanh", name="hidden")(k.layers.Flatten()(x))
    return k.Model(image, k.layers.Dense(4, "softmax", name="out")(x))


# Torch's Adam adds epsilon at another place: that moves a step by less than a thousandth (training.py says so).
OPTIMIZERS = {
    "sgd": (lambda k: k.optimizers.SGD(RATE, momentum=0.875, nesterov=True), 1e-12),
    "adam": (lambda k: k.optimizers.Adam(RATE), 1e-3 * RATE * STEPS),
}


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_plain_pytorch_goes_on(module, name, midstream, tmp_path):
    optimizer, tolerance = OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5 + STEPS, 8, 6, 6, 2)), rng.integers(0, 4, (5 + STEPS, 8))
    with floatx("float64"):
        module.utils.set_random_seed(0)
        model = digits_like(module)
        model.compile(optimizer(module), "sparse_categorical_crossentropy")
        for i in range(5):
            model.train_on_batch(x[i], y[i])
        model.save(tmp_path / "model.keras")
        for i in range(5, 5 + STEPS):
            model.train_on_batch(x[i], y[i])
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    np.savez(tmp_path / "out" / "data.npz", x=x[5:], y=y[5:])
    done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = np.load(tmp_path / "out" / "out.npz")
    for layer in ("conv", "hidden", "out"):
        kernel, bias = (v.numpy() for v in model.get_layer(layer).weights)
        kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        np.testing.assert_allclose(ours[f"{layer}.weight"], kernel, rtol=0, atol=tolerance)
        np.testing.assert_allclose(ours[f"{layer}.bias"], bias, rtol=0, atol=tolerance)


LOSSES = {  # the loss, and what its targets are
    "mse": (lambda k: k.losses.MeanSquaredError(), "real"),
    "mae": (lambda k: k.losses.MeanAbsoluteError(), "real"),
    "mape": (lambda k: k.losses.MeanAbsolutePercentageError(), "real"),
    "msle": (lambda k: k.losses.MeanSquaredLogarithmicError(), "positive"),
    "huber": (lambda k: k.losses.Huber(0.5 if k is tf_keras else 1.0), "real"),  # Keras 3 does not save delta
    "log_cosh": (lambda k: k.losses.LogCosh(), "real"),
    "poisson": (lambda k: k.losses.Poisson(), "positive"),
    "kl": (lambda k: k.losses.KLDivergence(), "distribution"),
    "cosine": (lambda k: k.losses.CosineSimilarity(), "real"),
    "sparse": (lambda k: k.losses.SparseCategoricalCrossentropy(), "class"),
    "sparse-logits": (lambda k: k.losses.SparseCategoricalCrossentropy(from_logits=True), "class"),
    "categorical": (lambda k: k.losses.CategoricalCrossentropy(), "distribution"),
    "categorical-logits": (
        lambda k: k.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.25),
        "distribution",
    ),
    "binary": (lambda k: k.losses.BinaryCrossentropy(label_smoothing=0.25), "binary"),
    "binary-logits": (lambda k: k.losses.BinaryCrossentropy(from_logits=True), "binary"),
}


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
@pytest.mark.parametrize("rank", [2, 3])
def test_losses(module, rank, midstream, tmp_path):
    """`loss` of training.py beside Keras' loss; the predictions are probabilities, which do for logits, too."""
    rng = np.random.default_rng(0)
    shape = (6, 5, 4)[3 - rank :]
    with floatx("float64"):
        names, x = list(LOSSES), rng.normal(size=(*shape[:-1], 3))
        given = module.Input(x.shape[1:])
        outputs = [module.layers.Dense(4, "softmax", name=name)(given) for name in names]
        model = module.Model(given, outputs)
        losses = [LOSSES[name][0](module) for name in names]
        model.compile("sgd", losses)
        model.save(tmp_path / "model.keras")
        midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
        source = (tmp_path / "out" / "training.py").read_text()
        assert ("movedim" in source) == (rank == 3)
        scope = {"__file__": str(tmp_path / "out" / "training.py")}
        exec(source.replace("from model import load", "load = None"), scope)
        for i, name in enumerate(names):
            prediction = np.array(model(x)[i])
            target = {
                "real": lambda: rng.normal(size=shape),
                "positive": lambda: rng.uniform(0.1, 3, size=shape),
                "distribution": lambda: rng.dirichlet([1] * 4, size=shape[:-1]),
                "class": lambda: rng.integers(0, 4, shape[:-1]),
                "binary": lambda: rng.integers(0, 2, shape).astype(float),
            }[LOSSES[name][1]]()
            ours = scope[f"loss_{i + 1}"](torch.from_numpy(prediction), torch.from_numpy(target))
            # Keras takes some of these constants (epsilon, delta, log 2) through float32.
            np.testing.assert_allclose(ours, losses[i](target, prediction), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("loss", [keras.losses.Hinge(), keras.losses.MeanSquaredError(reduction="sum")])
def test_a_loss_without_a_plain_spelling_is_left_to_the_user(loss, midstream, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", loss)
    model.save(tmp_path / "model.keras")
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    assert "raise NotImplementedError" in (tmp_path / "out" / "training.py").read_text()


def test_an_output_without_a_loss(midstream, tmp_path):
    given = keras.Input((3,))
    model = keras.Model(given, [keras.layers.Dense(2, name="a")(given), keras.layers.Dense(2, name="b")(given)])
    model.compile("sgd", {"a": "mse"})
    model.save(tmp_path / "model.keras")
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    text = (tmp_path / "out" / "training.py").read_text()
    assert "F.mse_loss" in text and "new_zeros" in text


def test_what_it_leaves_out_is_said(midstream, tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer="l2", bias_constraint="non_neg")]
    )
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    for file in ("training.py", "README.md"):
        text = (tmp_path / "out" / file).read_text()
        assert "regularizers" in text and "Constraints" in text


def test_a_model_that_was_never_compiled_has_none(midstream, tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "model.keras")
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    assert not (tmp_path / "out" / "training.py").exists()


@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("outputs", [1, 2])
def test_several_inputs_and_outputs(inputs, outputs, midstream, tmp_path):
    """One input is given as it is, several as a sequence, whatever the outputs are."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(8, 3)) for _ in range(inputs)]
    y = [rng.normal(size=(8, 2)) for _ in range(outputs)]
    with floatx("float64"):
        keras.utils.set_random_seed(0)
        taken = [keras.Input((3,), name=f"in{i}") for i in range(inputs)]
        joined = keras.layers.Concatenate()(taken) if inputs > 1 else taken[0]
        made = [keras.layers.Dense(2, name=f"out{i}")(joined) for i in range(outputs)]
        model = keras.Model(taken if inputs > 1 else taken[0], made if outputs > 1 else made[0])
        model.compile(keras.optimizers.SGD(RATE), "mse" if outputs == 1 else ["mse", "mae"])
        model.save(tmp_path / "model.keras")
        model.train_on_batch(x if inputs > 1 else x[0], y if outputs > 1 else y[0])
    midstream("convert", tmp_path / "model.keras", "-o", tmp_path / "out")
    np.savez(
        tmp_path / "out" / "data.npz",
        **{f"x{i}": v for i, v in enumerate(x)},
        **{f"y{i}": v for i, v in enumerate(y)},
    )
    run = f"""
import numpy as np, torch
import training
from model import load

data = np.load("data.npz")
x = [torch.from_numpy(data[f"x{{i}}"]) for i in range({inputs})]
y = [torch.from_numpy(data[f"y{{i}}"]) for i in range({outputs})]
model = load()
training.train_step(model, training.make_optimizer(model), x if {inputs} > 1 else x[0], y if {outputs} > 1 else y[0], 0)
np.savez("out.npz", **{{k: v.numpy() for k, v in model.state_dict().items()}})
"""
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = np.load(tmp_path / "out" / "out.npz")
    for i in range(outputs):
        kernel = model.get_layer(f"out{i}").kernel.numpy()
        np.testing.assert_allclose(ours[f"out{i}.weight"], kernel.T, rtol=0, atol=1e-15)


def test_the_rate_is_the_runs(midstream, tmp_path):
    """A config without a rate, a step counter that goes on, and a schedule that has no template."""
    import midstream as ms

    def scope_of(optimizer):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(optimizer, "mse")
        model.train_on_batch(np.zeros((2, 3)), np.zeros((2, 2)))
        model.save(tmp_path / "model.keras")
        run = ms.resume(tmp_path / "model.keras")
        if not isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            run.core.learning_rate = 0.25
        ms.save(run, tmp_path / "out")
        scope = {"__file__": str(tmp_path / "out" / "training.py")}
        exec((tmp_path / "out" / "training.py").read_text().replace("from model import load", "load = None"), scope)
        return scope

    scope = scope_of(keras.optimizers.SGD(gradient_accumulation_steps=2))
    assert scope["learning_rate"](0) == 0.25
    assert scope["first_step"]() == 1
    assert "gradient_accumulation_steps" in (tmp_path / "out" / "training.py").read_text()
    with pytest.raises(NotImplementedError, match="PiecewiseConstantDecay"):
        scope_of(keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([2], [1.0, 0.5])))[
            "learning_rate"
        ](0)
