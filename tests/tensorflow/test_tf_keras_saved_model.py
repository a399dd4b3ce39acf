"""SavedModels of tf_keras: the functions of both modes that TensorFlow traced, loops over TensorLists and all."""

import numpy as np
import pytest
from helpers.compare import Comparison
from helpers.graphs import normal, run, weights_for
from helpers.oracle import floatx, tf, tf_keras

FUNCTION = "call_and_return_all_conditional_losses"


def function_of(path, training: bool) -> str:
    """The concrete function of the whole model that takes a plain tensor, in this mode."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    objects = saved.meta_graphs[0].object_graph_def
    (child,) = [c for c in objects.nodes[0].children if c.local_name == FUNCTION]
    for name in objects.nodes[child.node_id].function.concrete_functions:
        text = str(objects.concrete_functions[name].canonicalized_input_signature)
        if (f"bool_value: {str(training).lower()}" in text) and (
            'name: "inputs"' in text or len(objects.nodes[child.node_id].function.concrete_functions) == 2
        ):
            return name
    raise AssertionError("no such function")


def check(build, x, tmp_path, training: bool):
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
    name = function_of(path, training)
    (port,) = [i for i in run_names(path, name)]
    first = run(path, {port: x}, function=name)
    (output,) = [k for k, v in first.items() if v.shape == y.shape]
    ours = run(path, {port: x}, {output: weight}, function=name, training=training)
    # A gradient that is zero in exact arithmetic (of a bias before a BatchNormalization) is noise in both.
    close = Comparison(1e-12, floor=1e-3 * max(np.abs(g).max() for g in gradients if g is not None))
    close.check("output", ours[output], y)
    close.check("gradient of the input", ours[f"gradient:{port}"], gradients[0])
    for (key, v), g in zip(variables.items(), gradients[1:]):
        if g is not None:
            close.check(f"gradient of {key}", ours[f"gradient:{key}"], g)
        elif training and f"variable:{key}" in ours:  # BatchNormalization's statistics, after the step
            close.check(key, ours[f"variable:{key}"], v)
    close.done()


def run_names(path, function):
    from midstream import _core

    return _core.open(str(path), function=function).input_names()


@pytest.mark.parametrize("training", [False, True])
def test_lstm(tmp_path, training):
    check(
        lambda k: k.Sequential([k.layers.Input((6, 4)), k.layers.LSTM(5, return_sequences=True), k.layers.GRU(3), k.layers.Dense(2)]),
        normal(3, 6, 4), tmp_path, training,
    )  # fmt: skip


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
        normal(5, 9, 8, 3), tmp_path, training,
    )  # fmt: skip


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
