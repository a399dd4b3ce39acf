"""The whole models of tests/helpers/models.py, each with an optimizer, losses, metrics and data of its own."""

from __future__ import annotations

import numpy as np
from helpers import models

from whole.continuation import Case


def labels(rng, n: int, classes: int) -> np.ndarray:
    return rng.integers(0, classes, n)


def one_hot(rng, n: int, classes: int) -> np.ndarray:
    return np.eye(classes)[labels(rng, n, classes)]


def images(*shape):
    return lambda rng, n: rng.random((n, *shape))


def padded_tokens(length: int, vocabulary: int):
    """Rows of several lengths, zeros behind them, words that repeat."""

    def make(rng, n):
        tokens = rng.integers(1, vocabulary, (n, length))
        return np.where(np.arange(length) < rng.integers(1, length + 1, (n, 1)), tokens, 0).astype("int32")

    return make


def tower_data(rng, n):
    x = [rng.normal(size=(n, 12)), rng.normal(size=(n, 12))]
    return x, [rng.integers(0, 2, (n, 1)).astype("float64"), labels(rng, n, 3)]


def schedule(k):
    return k.optimizers.schedules


def unet_data(rng, n):
    return [rng.random((n, 16, 16, 3))], [rng.integers(0, 2, (n, 16, 16, 1)).astype("float64")]


def resnet50(k):
    """As after some training. Just initialised, and with a batch of four, it multiplies rounding by a thousand a step
    (5e-13, 7e-10, 1e-6 of the loss): normalizing over the four samples that its last stage has at 32 x 32 pixels is
    badly conditioned, and every block adds to it. Nothing could be said there after three steps."""
    model = k.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5)
    for layer in model.layers:
        if layer.name.endswith("_3_bn"):
            layer.gamma.assign(0.2 * layer.gamma)
    return model


CASES = {
    "mlp": Case(
        models.mlp,
        lambda rng, n: ([rng.normal(size=(n, 6))], [labels(rng, n, 4)]),
        lambda k: k.optimizers.Adam(0.01, amsgrad=True, clipnorm=0.5),
        "sparse_categorical_crossentropy",
        ["accuracy", "sparse_categorical_crossentropy"],
    ),
    "digits": Case(
        models.digits,
        lambda rng, n: ([rng.random((n, 8, 8, 1))], [one_hot(rng, n, 10)]),
        lambda k: k.optimizers.SGD(schedule(k).ExponentialDecay(0.01, 7, 0.9), momentum=0.9, nesterov=True),
        lambda k: k.losses.CategoricalCrossentropy(label_smoothing=0.1),
        ["accuracy", "categorical_crossentropy"],
    ),
    "resnet50": Case(
        resnet50,
        lambda rng, n: ([rng.random((n, 32, 32, 3))], [labels(rng, n, 5)]),
        lambda k: k.optimizers.SGD(1e-4, momentum=0.9),
        "sparse_categorical_crossentropy",
        ["accuracy"],
        batch=16,
    ),
    "mobilenet_v2": Case(
        models.mobilenet_v2,
        lambda rng, n: ([rng.random((n, 32, 32, 3))], [one_hot(rng, n, 10)]),
        # Offsets before a convolution and another normalization have no gradient but rounding; see unet.
        lambda k: k.optimizers.RMSprop(1e-5, momentum=0.5, centered=True, epsilon=1e-3),
        "categorical_crossentropy",
        ["accuracy"],
        batch=16,  # as above
    ),
    "unet": Case(
        models.unet,
        unet_data,
        # Many biases have no gradient but rounding, which a small epsilon would make steps of.
        lambda k: k.optimizers.AdamW(1e-3, weight_decay=0.01, global_clipnorm=1.0, epsilon=1e-5),
        "binary_crossentropy",
        lambda k: [k.metrics.BinaryAccuracy(), k.metrics.MeanAbsoluteError()],
        batch=2,
    ),
    "bilstm": Case(
        models.bilstm,
        lambda rng, n: ([padded_tokens(9, 50)(rng, n)], [rng.integers(0, 2, (n, 1)).astype("float64")]),
        lambda k: k.optimizers.Adam(0.005, clipvalue=0.1),
        lambda k: k.losses.BinaryCrossentropy(),
        lambda k: ["accuracy", k.metrics.AUC(num_thresholds=20), k.metrics.Precision()],
    ),
    "grus": Case(
        models.grus,
        lambda rng, n: ([rng.normal(size=(n, 7, 5))], [rng.normal(size=(n, 4))]),
        lambda k: k.optimizers.Adagrad(schedule(k).InverseTimeDecay(0.05, 10, 0.5)),
        "mse",
        ["mae", "mse"],
    ),
    "wavenet": Case(
        models.wavenet,
        lambda rng, n: ([rng.normal(size=(n, 20, 2))], [rng.normal(size=(n, 20, 2))]),
        lambda k: k.optimizers.Lion(schedule(k).CosineDecay(1e-3, 40, alpha=0.1), weight_decay=0.01),
        lambda k: k.losses.Huber(0.7),
        ["mae", "cosine_similarity"],
    ),
    "transformer": Case(
        models.transformer,
        lambda rng, n: ([rng.integers(0, 50, (n, 8)).astype("int32")], [labels(rng, n, 3)]),
        lambda k: k.optimizers.AdamW(
            schedule(k).CosineDecay(0.0, 60, warmup_target=2e-3, warmup_steps=10),
            weight_decay=0.02,
            use_ema=True,
            ema_momentum=0.9,
            ema_overwrite_frequency=20,
        ),
        lambda k: k.losses.SparseCategoricalCrossentropy(from_logits=True),
        ["accuracy"],
    ),
    "two_headed": Case(
        models.two_headed,
        tower_data,
        lambda k: k.optimizers.Adam(schedule(k).PiecewiseConstantDecay([10, 30], [0.01, 0.003, 0.001])),
        lambda k: {
            "same": "binary_crossentropy",
            "kind": k.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
        {"same": ["accuracy", "hinge"], "kind": ["accuracy"]},
        more={"loss_weights": {"same": 0.3, "kind": 2.0}},
    ),
    "autoencoder": Case(
        models.autoencoder,
        lambda rng, n: (lambda x: ([x], [x]))(rng.random((n, 8, 8, 2))),
        lambda k: k.optimizers.RMSprop(1e-3, rho=0.8),
        "log_cosh",
        lambda k: ["mse", k.metrics.RootMeanSquaredError()],
    ),
    "accumulated": Case(
        models.mlp,
        lambda rng, n: ([rng.normal(size=(n, 6))], [labels(rng, n, 4)]),
        lambda k: k.optimizers.Adam(schedule(k).PolynomialDecay(0.01, 15, 0.001), gradient_accumulation_steps=3),
        "sparse_categorical_crossentropy",
        ["accuracy"],
    ),
}
