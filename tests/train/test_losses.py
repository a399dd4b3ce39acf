"""Every loss in its options against both Keras: value and gradient, float64."""

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.oracle import keras, tf_keras

from train.probe import keras_loss, normal, one_hot, our_loss, probabilities

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])

SHARES = np.concatenate([probabilities(5, 4, seed=1), [[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]])
EDGES = np.array([[0.0, 1.0, -1.0, 0.5], [2.0, -3.0, 0.0, 1.0]])


def same(module, name, y_true, y_pred, config=None, **more):
    config = config or {}
    ours = our_loss(module, name, config, y_true, y_pred, **more)
    theirs = keras_loss(module, name, config, y_true, y_pred, **more)
    comparison = Comparison(1e-12)
    comparison.check(f"{name} {config}", ours[0], theirs[0])
    comparison.check(f"gradient of {name} {config}", ours[1], theirs[1])
    comparison.done()


@both
@pytest.mark.parametrize(
    "name", ["MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "Huber", "LogCosh"]
)
@pytest.mark.parametrize("shape", [(6, 3), (4, 5, 2), (6, 1)])
def test_regression(module, name, shape):
    same(module, name, normal(*shape), normal(*shape, seed=1, scale=3))


@both
def test_errors_of_zero(module):
    for name in ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "MeanAbsolutePercentageError"):
        same(module, name, EDGES, np.array([[0.0, 2.0, -1.0, 1.5], [1.0, -3.0, 1e-9, 1.0]]))


@both
def test_huber_delta(module):
    same(module, "Huber", normal(7, 3), normal(7, 3, seed=2, scale=3), {"delta": 0.3})


@both
def test_logarithmic_error(module):
    same(module, "MeanSquaredLogarithmicError", np.abs(normal(6, 3)), normal(6, 3, seed=1))


@both
@pytest.mark.parametrize("name", ["KLDivergence", "Poisson"])
def test_of_distributions(module, name):
    same(module, name, probabilities(7, 4), SHARES)


@both
@pytest.mark.parametrize("name", ["Hinge", "SquaredHinge", "CategoricalHinge"])
@pytest.mark.parametrize("labels", ["zero_one", "signed"])
def test_hinge(module, name, labels):
    y = one_hot(4, 7)
    same(module, name, y if labels == "zero_one" else 2 * y - 1, normal(7, 4, seed=3))
    same(module, name, y, np.round(normal(7, 4, seed=4)))  # ties and the hinge itself


@both
@pytest.mark.parametrize("axis", [-1, 1])
def test_cosine_similarity(module, axis):
    same(module, "CosineSimilarity", normal(4, 3, 5), normal(4, 3, 5, seed=1), {"axis": axis})


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("logits", [False, True, "softmax"])
def test_categorical_crossentropy(module, smoothing, logits):
    config = {"label_smoothing": smoothing, "from_logits": logits is True}
    activation = "softmax" if logits == "softmax" else ""
    same(
        module,
        "CategoricalCrossentropy",
        one_hot(4, 7),
        SHARES if logits is False else normal(7, 4, scale=5),
        config,
        activation=activation,
    )


@both
def test_categorical_crossentropy_of_labels_that_add_up_to_more(module):
    y = one_hot(4, 7) + one_hot(4, 7, seed=5)
    same(module, "CategoricalCrossentropy", y, normal(7, 4), {"from_logits": True})
    same(module, "CategoricalCrossentropy", y, SHARES)


@both
@pytest.mark.parametrize("logits", [False, True])
def test_categorical_crossentropy_axis(module, logits):
    p = np.moveaxis(probabilities(3, 5, 4), -1, 1)
    y = np.moveaxis(one_hot(4, 3, 5), -1, 1)
    same(module, "CategoricalCrossentropy", y, p, {"axis": 1, "from_logits": logits})


@both
@pytest.mark.parametrize("logits", [False, True, "softmax"])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (3, 5), (3, 5, 1)])
@pytest.mark.parametrize("kind", ["int32", "float64"])
def test_sparse_categorical_crossentropy(module, logits, shape, kind):
    batch = shape[:-1] if shape[-1] == 1 else shape
    y = np.random.default_rng(0).integers(0, 4, shape).astype(kind)
    p = probabilities(*batch, 4) if logits is False else normal(*batch, 4, scale=5)
    same(
        module,
        "SparseCategoricalCrossentropy",
        y,
        p,
        {"from_logits": logits is True},
        activation="softmax" if logits == "softmax" else "",
    )


@both
@pytest.mark.parametrize("logits", [False, True, "softmax"])
def test_sparse_categorical_crossentropy_ignore_class(module, logits):
    y = np.array([[0, 2, -1, 1], [-1, -1, 3, 0]])
    p = probabilities(2, 4, 4) if logits is False else normal(2, 4, 4, scale=3)
    same(
        module,
        "SparseCategoricalCrossentropy",
        y,
        p,
        {"ignore_class": -1, "from_logits": logits is True},
        activation="softmax" if logits == "softmax" else "",
    )


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("logits", [False, True, "sigmoid"])
@pytest.mark.parametrize("shape", [(6, 1), (4, 3)])
def test_binary_crossentropy(module, smoothing, logits, shape):
    y = (normal(*shape) > 0).astype(float)
    x = normal(*shape, seed=1, scale=8)
    x[0, 0] = 0.0
    p = 1 / (1 + np.exp(-x)) if logits is False else x
    same(
        module,
        "BinaryCrossentropy",
        y,
        p,
        {"label_smoothing": smoothing, "from_logits": logits is True},
        activation="sigmoid" if logits == "sigmoid" else "",
    )


@both
def test_binary_crossentropy_saturated(module):
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    same(module, "BinaryCrossentropy", y, np.array([[1.0], [0.0], [1.0], [0.0]]))
    same(module, "BinaryCrossentropy", y, np.array([[60.0], [-60.0], [60.0], [-60.0]]), activation="sigmoid")


@both
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("options", [{}, {"gamma": 1.5, "alpha": 0.4}, {"label_smoothing": 0.1}])
def test_categorical_focal_crossentropy(module, logits, options):
    same(
        module,
        "CategoricalFocalCrossentropy",
        one_hot(4, 6),
        normal(6, 4) if logits else probabilities(6, 4),
        {"from_logits": logits, **options},
    )


@both
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("options", [{}, {"gamma": 1.5}, {"apply_class_balancing": True, "alpha": 0.3}])
def test_binary_focal_crossentropy(module, logits, options):
    y = (normal(6, 2) > 0).astype(float)
    x = normal(6, 2, seed=1)
    same(
        module, "BinaryFocalCrossentropy", y, x if logits else 1 / (1 + np.exp(-x)), {"from_logits": logits, **options}
    )


@pytest.mark.parametrize("axis", [None, [1, 2, 3], 1, [1, 2]])
@pytest.mark.parametrize("name, options", [("Dice", {}), ("Tversky", {}), ("Tversky", {"alpha": 0.3, "beta": 0.8})])
def test_overlap(name, options, axis):
    y = (normal(3, 4, 5, 2) > 0).astype(float)
    same(keras, name, y, 1 / (1 + np.exp(-normal(3, 4, 5, 2, seed=1))), {"axis": axis, **options})


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("q", [0.5, 0.9])
def test_categorical_generalized_cross_entropy(shape, q):
    y = np.random.default_rng(0).integers(0, 4, shape)
    same(keras, "CategoricalGeneralizedCrossEntropy", y, probabilities(6, 4), {"q": q})


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
@pytest.mark.parametrize("options", [{}, {"remove_diagonal": False}, {"gamma": 8.0, "margin": 0.1}])
def test_circle(shape, options):
    y = np.array([0, 1, 2, 0, 1, 2, 0, 1]).reshape(shape)  # every label has a partner
    x = normal(8, 5, seed=1)
    same(keras, "Circle", y, x / np.linalg.norm(x, axis=1, keepdims=True), options)


def test_ctc():
    """Keras computes it in float32 whatever the dtype. One sample has no label, one a repeated one, and one more labels
    than the steps have places for."""
    y = np.array([[1, 2, 3], [2, 2, 0], [0, 0, 0], [3, 0, 0], [2, 2, 2]])
    ours = our_loss(keras, "CTC", {}, y, normal(5, 4, 4))
    theirs = keras_loss(keras, "CTC", {}, y, normal(5, 4, 4))
    # Logarithms of that last sample are about -707, which float32 has to 6e-5: so are the shares of its paths.
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=6.1e-5 / len(y))


REDUCTIONS = {
    keras: ["sum_over_batch_size", "sum", "none", "mean", "mean_with_sample_weight"],
    tf_keras: ["sum_over_batch_size", "sum", "none"],
}


@pytest.mark.parametrize(
    "module, reduction",
    [
        pytest.param(m, r, id=f"{'keras3' if m is keras else 'tf_keras'}-{r}")
        for m, rs in REDUCTIONS.items()
        for r in rs
    ],
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", ["", "samples", "steps", "column"])
def test_reduction(module, reduction, masked, weighted):
    y, p = normal(4, 5, 3), normal(4, 5, 3, seed=1)
    mask = np.arange(20).reshape(4, 5) % 3 > 0 if masked else None
    weight = {
        "": None,
        "samples": np.array([0.5, 2.0, 0.0, 1.0]),
        "steps": np.abs(normal(4, 5, seed=2)),
        "column": np.array([[0.5], [2.0], [0.0], [1.0]]),
    }[weighted]
    if weighted == "samples":  # weights of whole samples beside values per step fit neither Keras: one value a sample
        y, p, mask = y[:, 0], p[:, 0], mask[:, 0] if masked else None
    if weighted == "column" and masked:
        weight = np.broadcast_to(weight, (4, 5)).copy()
    same(module, "MeanSquaredError", y, p, {"reduction": reduction}, mask=mask, weight=weight)


@both
def test_nothing_valid(module):
    y, p = normal(2, 3, 2), normal(2, 3, 2, seed=1)
    if module is keras:  # Keras 2 divides by zero there
        same(module, "MeanSquaredError", y, p, mask=np.zeros((2, 3), bool))


@both
@pytest.mark.parametrize("pair", [((5,), (5, 1)), ((5, 1), (5,)), ((5, 3, 1), (5, 3))])
def test_ranks_that_differ_by_one(module, pair):
    same(module, "MeanSquaredError", normal(*pair[0]), normal(*pair[1], seed=1))
