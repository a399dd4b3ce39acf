"""SavedModels of tf_keras: the functions of both modes that TensorFlow traced, loops over TensorLists and all."""

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.graphs import normal, run, weights_for
from helpers.oracle import floatx, tf, tf_keras
from helpers.saved_model import function_of


def check(build, x, tmp_path, training: bool, cancelling: dict | None = None):
    """`cancelling`: variables whose gradient is a sum that cancels -> the layer whose outputs' gradients are summed."""
    path = tmp_path / "model"
    with floatx("float64"):
        tf_keras.utils.set_random_seed(0)
        model = build(tf_keras)
        for w in model.weights:
            w.assign(np.abs(normal(*w.shape)) * 0.5 + 0.1 if "variance" in w.name else normal(*w.shape) * 0.5)
        model.save(path, save_format="tf")
        loaded = tf.saved_model.load(str(path))
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = loaded(inputs, training)
            weight = weights_for({"y": y.numpy()})["y"]
            total = tf.reduce_sum(y * weight)
        variables = {v.name.removesuffix(":0"): v for v in loaded.variables}
        gradients = tape.gradient(total, [inputs, *variables.values()])
        floors = {name: terms_of(model, inputs, layer, training, weight) for name, layer in (cancelling or {}).items()}
    name = function_of(path, training)
    (port,) = run_names(path, name)
    first = run(path, {port: x}, function=name)
    (output,) = [k for k, v in first.items() if v.shape == y.shape]
    ours = run(path, {port: x}, {output: weight}, function=name, training=training)
    close = Comparison(1e-12)
    close.check("output", ours[output], y)
    close.check("gradient of the input", ours[f"gradient:{port}"], gradients[0])
    for (key, v), g in zip(variables.items(), gradients[1:], strict=True):
        if g is not None:
            close.check(f"gradient of {key}", ours[f"gradient:{key}"], g, floors.get(key))
        elif training and f"variable:{key}" in ours:  # BatchNormalization's statistics, after the step
            close.check(key, ours[f"variable:{key}"], v)
    close.done()


def terms_of(model, x, layer: int, training: bool, weight) -> float:
    """The sum of the magnitudes that a bias of this layer adds up: what its gradient's rounding is relative to."""
    with tf.GradientTape() as tape:
        h = y = model.layers[layer](x)
        tape.watch(h)
        y = h
        for after in model.layers[layer + 1 :]:
            y = after(y, training=training) if "normalization" in after.name else after(y)
        total = tf.reduce_sum(y * weight)
    terms = np.abs(tape.gradient(total, h).numpy())
    return float(terms.sum(tuple(range(terms.ndim - 1))).max())


def run_names(path, function):
    from midstream import _core

    return _core.open(str(path), function=function).input_names()


@pytest.mark.parametrize("training", [False, True])
def test_lstm(tmp_path, training):
    check(
        lambda k: k.Sequential(
            [k.layers.Input((6, 4)), k.layers.LSTM(5, return_sequences=True), k.layers.GRU(3), k.layers.Dense(2)]
        ),
        normal(3, 6, 4),
        tmp_path,
        training,
    )


def test_the_loop_is_a_loop(tmp_path):
    """What the test above runs holds the ops that it is about."""
    model = tf_keras.Sequential([tf_keras.layers.Input((6, 4)), tf_keras.layers.LSTM(5)])
    model.save(tmp_path / "model", save_format="tf")
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "model/saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    assert {"StatelessWhile", "TensorListReserve"} <= {node.op for f in functions for node in f.node_def}


@pytest.mark.parametrize("training", [False, True])
def test_conv_and_batch_norm(tmp_path, training):
    check(
        lambda k: k.Sequential(
            [
                k.layers.Input((9, 8, 3)),
                k.layers.Conv2D(4, 3, strides=2, padding="same"),
                k.layers.BatchNormalization(),
                k.layers.ReLU(),
                k.layers.MaxPooling2D(2),
                k.layers.Flatten(),
                k.layers.Dense(2),
            ]
        ),
        normal(5, 9, 8, 3),
        tmp_path,
        training,
        {"conv2d/bias": 0},
    )


def test_dropout_draws_fresh_numbers(tmp_path):
    path = tmp_path / "model"
    model = tf_keras.Sequential([tf_keras.layers.Input((1000,)), tf_keras.layers.Dropout(0.25)])
    model.save(path, save_format="tf")
    x = np.ones((2, 1000), "float32")
    name = function_of(path, True)
    (port,) = run_names(path, name)
    (y,) = run(path, {port: x}, function=name, training=True).values()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert 0.2 < (y == 0).mean() < 0.3
    (y,) = run(path, {port: x}, function=function_of(path, False)).values()
    np.testing.assert_array_equal(y, x)
