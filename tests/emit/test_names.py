"""Names of a file that mean something else in Python source: members of nn.Module, keywords, helpers of the printed
file. The printed module computes what Keras computes all the same."""

import builtins
import keyword

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf
from torch import nn

MEMBERS = sorted(name for name in dir(nn.Module) if not name.startswith("_"))
OTHERS = sorted(
    {*keyword.kwlist, *keyword.softkwlist, *(n for n in dir(builtins) if n.islower() and not n.startswith("_"))}
    | {"self", "torch", "nn", "F", "Tensor", "Path", "load", "load_file"}
    | {"midstream_source", "midstream_text", "midstream_variables"}
)
# Sums of a float64 chain: each layer adds at most a rounding of its own size.
TOLERANCE = 1e-12


def check(model, path, *inputs):
    """The module gives what the model gives, in eval mode."""
    model.save(path)
    module = midstream.load(path)
    wanted = keras.tree.flatten(model(list(inputs) if len(inputs) > 1 else inputs[0], training=False))
    found = module(*map(torch.from_numpy, inputs))
    for a, b in zip(found if isinstance(found, tuple) else [found], wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    return module


@pytest.mark.parametrize("names", [MEMBERS, OTHERS], ids=["members", "others"])
def test_layers(names, tmp_path):
    with floatx("float64"):
        x = h = keras.Input((3,))
        outputs = []
        for name in names:
            h = keras.layers.Dense(3, activation="tanh", name=name)(h) + x
            outputs.append(h)
        model = keras.Model(x, outputs[:: max(1, len(outputs) // 8)] + [h])
        module = check(model, tmp_path / "m.keras", np.random.default_rng(0).normal(size=(2, 3)))
    kernels = [p for name, p in module.named_parameters() if name.endswith("weight")]
    assert len(kernels) == len(names)


@pytest.mark.parametrize("names", [MEMBERS, OTHERS], ids=["members", "others"])
def test_inputs_and_outputs(names, tmp_path):
    with floatx("float64"):
        inputs = [keras.Input((2,), name=name) for name in names]
        total = keras.layers.Add()(inputs)
        outputs = [keras.layers.Dense(2, name=f"{name}_")(total) for name in names[::3]]
        rng = np.random.default_rng(0)
        check(keras.Model(inputs, outputs), tmp_path / "m.keras", *(rng.normal(size=(2, 2)) for _ in names))


@pytest.mark.parametrize("names", [MEMBERS[::4], OTHERS[::8]], ids=["members", "others"])
def test_nested_models(names, tmp_path):
    with floatx("float64"):
        x = h = keras.Input((3,))
        for name in names:
            inner = keras.Input((3,))
            part = keras.layers.Dense(3, name=name)(keras.layers.Dense(3, activation="tanh", name="a")(inner))
            h = keras.Model(inner, part + inner, name=name)(h)
        check(keras.Model(x, h, name=names[0]), tmp_path / "m.keras", np.ones((2, 3)))


def test_an_input_with_the_name_of_a_helper(tmp_path):
    """A batch normalization outside of a layer is printed as a call of batch_norm."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [2, 3, 3, 2], name="batch_norm")
        y = tf.compat.v1.nn.fused_batch_norm(x, tf.constant([2.0, 3.0]), tf.constant([0.5, 1.0]), is_training=True)[0]
        tf.add(y, x, name="last")
    (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    values = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype(np.float32)
    with tf.compat.v1.Session(graph=graph) as session:
        wanted = session.run("last:0", {"batch_norm:0": values})
    module = midstream.load(tmp_path / "g.pb")
    assert "def batch_norm(" in type(module).midstream_text
    # 18 elements a channel in float32, results below 8.
    np.testing.assert_allclose(module(torch.from_numpy(values)).detach().numpy(), wanted, atol=8 * 18 * 2.0**-23)


def test_a_model_with_the_name_of_a_helper(tmp_path):
    """BidirectionalMaskedLSTM is printed with another class, which the model must not replace."""
    with floatx("float64"):
        x = keras.Input((5, 4))
        h = keras.layers.Bidirectional(keras.layers.LSTM(3))(keras.layers.Masking()(x))
        values = np.random.default_rng(0).normal(size=(2, 5, 4))
        values[0, 3:] = 0
        for name in ("LSTM", "MaskedLSTM", "BidirectionalMaskedLSTM", "Masked_LSTM_Cell"):
            check(keras.Model(x, h, name=name), tmp_path / f"{name}.keras", values)
