"""Metrics over several batches against both Keras, float64; float32 where TensorFlow's top-k knows nothing else."""

import json

import numpy as np
import pytest
from helpers.oracle import floatx, is_legacy, keras, tf, tf_keras

from train.probe import core, normal, one_hot, probabilities, tensor

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


# Sums of at most 52 float32 numbers, each off by half a unit in the last place.
FLOAT32 = {"dtype": "float32", "tol": 52 * 2**-24}


def same(module, name, batches, config=None, tol=1e-12, dtype="float64"):
    """batches: (y_true, y_pred, mask, weight)."""
    config = config or {}
    batches = [[a.astype(dtype) if a is not None and a.dtype == float else a for a in batch] for batch in batches]
    with floatx(dtype):
        metric = getattr(module.metrics, name)(**config)
        for y_true, y_pred, mask, weight in batches:
            p = tf.constant(y_pred)
            w = None if weight is None else tf.constant(weight)
            if mask is not None and is_legacy(module):  # as its MetricsContainer does
                m = tf.cast(tf.constant(mask), dtype)
                w = m if w is None else w * m
            elif mask is not None:
                p._keras_mask = tf.constant(mask)
            metric.update_state(tf.constant(y_true), p, sample_weight=w)
        wanted = np.asarray(metric.result())
    ours = (
        core()
        .metric(
            json.dumps({"class_name": name, "config": config}),
            not is_legacy(module),
            dtype,
            [tuple(map(tensor, batch)) for batch in batches],
        )
        .numpy()
    )
    np.testing.assert_allclose(ours, wanted, rtol=tol, atol=1e-15)


def batches_of(make, weights=None, mask=None):
    sizes = [5, 5, 3]
    out = []
    for i, n in enumerate(sizes):
        y_true, y_pred = make(n, i)
        w = None if weights is None else np.abs(normal(*weights(n), seed=70 + i))
        m = None if mask is None else np.random.default_rng(i).random(mask(n)) > 0.3
        out.append((y_true, y_pred, m, w))
    return out


WEIGHTS = [None, lambda n: (n,)]
weighted = pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "weighted"])


@both
@weighted
@pytest.mark.parametrize(
    "name",
    [
        "MeanSquaredError",
        "MeanAbsoluteError",
        "RootMeanSquaredError",
        "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError",
        "LogCoshError",
        "CosineSimilarity",
        "Hinge",
        "SquaredHinge",
    ],
)
def test_errors(module, name, weights):
    same(module, name, batches_of(lambda n, i: (normal(n, 3, seed=i), normal(n, 3, seed=10 + i)), weights))


@both
@weighted
@pytest.mark.parametrize("name", ["KLDivergence", "Poisson", "CategoricalCrossentropy"])
def test_of_distributions(module, name, weights):
    same(
        module, name, batches_of(lambda n, i: (probabilities(n, 3, seed=i), probabilities(n, 3, seed=10 + i)), weights)
    )


@both
@weighted
def test_crossentropies(module, weights):
    def sparse(n, i):
        return np.random.default_rng(i).integers(0, 4, (n,)), probabilities(n, 4, seed=i)

    def binary(n, i):
        return (normal(n, 1, seed=i) > 0).astype(float), probabilities(n, 2, seed=i)[:, :1]

    same(module, "SparseCategoricalCrossentropy", batches_of(sparse, weights))
    same(module, "BinaryCrossentropy", batches_of(binary, weights))
    same(module, "BinaryCrossentropy", batches_of(binary, weights), {"label_smoothing": 0.1})


@both
@weighted
@pytest.mark.parametrize("masked", [False, True])
def test_accuracies(module, weights, masked):
    p = lambda n, i: probabilities(n, 4, seed=i)  # noqa: E731
    mask = (lambda n: (n,)) if masked else None
    index = lambda n, i: np.random.default_rng(i).integers(0, 4, (n,))  # noqa: E731
    same(module, "CategoricalAccuracy", batches_of(lambda n, i: (one_hot(4, n, seed=i), p(n, i)), weights, mask))
    same(module, "SparseCategoricalAccuracy", batches_of(lambda n, i: (index(n, i), p(n, i)), weights, mask))
    same(module, "SparseCategoricalAccuracy", batches_of(lambda n, i: (index(n, i)[:, None], p(n, i)), weights, mask))
    same(
        module,
        "TopKCategoricalAccuracy",
        batches_of(lambda n, i: (one_hot(4, n, seed=i), p(n, i)), weights, mask),
        {"k": 2},
        **FLOAT32,
    )
    same(
        module,
        "SparseTopKCategoricalAccuracy",
        batches_of(lambda n, i: (index(n, i), p(n, i)), weights, mask),
        {"k": 2},
        **FLOAT32,
    )
    same(module, "Accuracy", batches_of(lambda n, i: (index(n, i)[:, None] * 1.0, np.ones((n, 1))), weights))


@both
@weighted
@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize("width", [1, 3])
def test_binary_accuracy(module, weights, threshold, width):
    def make(n, i):
        return (normal(n, width, seed=i) > 0).astype(float), np.random.default_rng(i).random((n, width))

    same(module, "BinaryAccuracy", batches_of(make, weights), {"threshold": threshold})


@both
@pytest.mark.parametrize("masked", [False, True])
def test_sequences(module, masked):
    """Accuracy per step, [n, t] weights and masks."""
    mask = (lambda n: (n, 6)) if masked else None

    def make(n, i):
        return np.random.default_rng(i).integers(0, 4, (n, 6)), probabilities(n, 6, 4, seed=i)

    for weights in (None, lambda n: (n, 6)):
        same(module, "SparseCategoricalAccuracy", batches_of(make, weights, mask))
        same(module, "SparseCategoricalCrossentropy", batches_of(make, weights, mask))


def scores(n, i, width=None):
    random = np.random.default_rng(i)
    shape = (n,) if width is None else (n, width)
    p = np.round(random.random(shape), 2)
    p.flat[0], p.flat[1] = 0.0, 1.0
    return (random.random(shape) > 0.5).astype(float), p


@both
@weighted
@pytest.mark.parametrize(
    "name", ["Precision", "Recall", "TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives"]
)
@pytest.mark.parametrize("thresholds", [None, 0.3, [0.2, 0.7], [0.0, 0.5, 1.0]])
def test_counts(module, name, weights, thresholds):
    same(module, name, batches_of(scores, weights), {"thresholds": thresholds})
    same(module, name, batches_of(lambda n, i: scores(n, i, 1), weights), {"thresholds": thresholds})


@both
@weighted
@pytest.mark.parametrize("name", ["Precision", "Recall"])
@pytest.mark.parametrize("config", [{"top_k": 2}, {"class_id": 1}, {"top_k": 2, "class_id": 0}])
def test_counts_of_classes(module, name, weights, config):
    batches = batches_of(lambda n, i: (one_hot(4, n, seed=i), probabilities(n, 4, seed=i)), weights)
    same(module, name, batches, config, **(FLOAT32 if "top_k" in config else {}))


@both
@weighted
@pytest.mark.parametrize("curve", ["ROC", "PR", "PRGAIN"])
@pytest.mark.parametrize("summation", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("more", [{}, {"num_thresholds": 11}, {"thresholds": [0.1, 0.4, 0.8]}])
def test_auc(module, weights, curve, summation, more):
    same(module, "AUC", batches_of(scores, weights), {"curve": curve, "summation_method": summation, **more}, tol=1e-11)


@both
@pytest.mark.parametrize("more", [{}, {"label_weights": [0.5, 2.0, 1.0]}])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("thresholds", [{}, {"thresholds": [0.3, 0.35]}])
def test_auc_of_several_labels(module, more, curve, thresholds):
    config = {"multi_label": True, "num_labels": 3, "curve": curve, **more, **thresholds}
    same(module, "AUC", batches_of(lambda n, i: scores(n, i, 3)), config, tol=1e-11)


@both
def test_auc_from_logits(module):
    def make(n, i):
        return (normal(n, seed=i) > 0).astype(float), normal(n, seed=20 + i, scale=3)

    same(module, "AUC", batches_of(make), {"from_logits": True}, tol=1e-11)


def labels(n, i):
    return one_hot(3, n, seed=i), np.round(probabilities(n, 3, seed=20 + i), 2)


@both
@weighted
def test_f_scores(module, weights):
    exact = {} if module is keras else FLOAT32  # beta is float32 in tf_keras, where float64 refuses to meet it
    for average in (None, "micro", "macro", "weighted"):
        same(module, "F1Score", batches_of(labels, weights), {"average": average}, **exact)
        more = {"average": average, "beta": 2.0, "threshold": 0.4}
        same(module, "FBetaScore", batches_of(labels, weights), more, **exact)


@both
@weighted
@pytest.mark.filterwarnings("ignore:More independent predictors")
def test_r2(module, weights):
    batches = batches_of(lambda n, i: (normal(n, 3, seed=i), normal(n, 3, seed=10 + i)), weights)
    for aggregation in (None, "uniform_average", "variance_weighted_average"):
        same(module, "R2Score", batches, {"class_aggregation": aggregation})
    # Its correction for the number of regressors is float32 in tf_keras, where float64 refuses to meet it.
    if module is keras:
        same(module, "R2Score", batches, {"num_regressors": 2})
        same(module, "R2Score", batches, {"num_regressors": 60})


@both
@weighted
@pytest.mark.parametrize("thresholds", [200, 7, 1])
def test_best_rate_at_another(module, weights, thresholds):
    for name, least in (
        ("PrecisionAtRecall", {"recall": 0.6}),
        ("RecallAtPrecision", {"precision": 0.6}),
        ("SensitivityAtSpecificity", {"specificity": 0.4}),
        ("SpecificityAtSensitivity", {"sensitivity": 0.7}),
    ):
        same(module, name, batches_of(scores, weights), {**least, "num_thresholds": thresholds})
        same(module, name, batches_of(labels, weights), {**least, "num_thresholds": thresholds, "class_id": 1})


def class_ids(n, i):
    random = np.random.default_rng(i)
    return random.integers(0, 4, (n, 5)), random.integers(0, 4, (n, 5))


@both
def test_intersection_over_union(module):
    # Keras 3 gives float32.
    tol = {} if module is tf_keras else {"tol": 2e-7}
    whole = [(t, p, None, np.random.default_rng(9).integers(0, 4, t.shape)) for t, p, _, _ in batches_of(class_ids)]
    for batches in (batches_of(class_ids), whole):
        same(module, "IoU", batches, {"num_classes": 4, "target_class_ids": [1, 3]}, **tol)
        same(module, "MeanIoU", batches, {"num_classes": 4, "ignore_class": 2}, **tol)
    hot = batches_of(lambda n, i: (one_hot(4, n, seed=i), probabilities(n, 4, seed=i)))
    same(module, "OneHotIoU", hot, {"num_classes": 4, "target_class_ids": [0, 2]}, **tol)
    same(module, "OneHotMeanIoU", hot, {"num_classes": 4}, **tol)
    same(module, "MeanIoU", hot, {"num_classes": 4, "sparse_y_true": False, "sparse_y_pred": False}, **tol)
    same(module, "BinaryIoU", batches_of(lambda n, i: scores(n, i, 2)), {"threshold": 0.3}, **tol)
    same(module, "BinaryIoU", batches_of(scores), {"target_class_ids": [1]}, **tol)


@weighted
def test_correlations(weights):
    batches = batches_of(lambda n, i: (normal(n, 6, seed=i), normal(n, 6, seed=10 + i)), weights)
    for name in ("PearsonCorrelation", "ConcordanceCorrelation"):
        same(keras, name, batches)
        same(keras, name, batches_of(lambda n, i: (normal(n, 6, seed=i), normal(n, 6, seed=10 + i))), {"axis": 0})


@weighted
def test_relative_error(weights):
    batches = batches_of(lambda n, i: (normal(n, 3, seed=i), normal(n, 3, seed=10 + i)), weights)
    same(tf_keras, "MeanRelativeError", batches, {"normalizer": [1.0, 0.0, 2.0]})


def test_mean_and_sum_of_the_targets():
    """In compile() these get the targets as values and the predictions as weights."""
    for name in ("Mean", "Sum"):
        metric, batches = getattr(keras.metrics, name)(dtype="float64"), batches_of(lambda n, i: scores(n, i, 2))
        for y_true, y_pred, _, _ in batches:
            metric.update_state(y_pred, y_true)
        given = [tuple(map(tensor, (p, t, None, None))) for t, p, _, _ in batches]
        ours = core().metric(json.dumps({"class_name": name, "config": {}}), True, "float64", given)
        np.testing.assert_allclose(ours.numpy(), np.asarray(metric.result()), rtol=1e-12)
