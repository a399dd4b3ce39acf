"""Graphs without a training of their own, trained: the weights of a frozen graph and of a SavedModel are parameters,
and plain SGD leads where TensorFlow's leads. And back: the file with the trained numbers, run by TensorFlow."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.compare import Comparison, as_array
from helpers.frozen import in_float64, read_frozen, train_by_tf
from helpers.graphs import normal
from helpers.oracle import tf

STEPS = 5
# Each step may add a layer's rounding (1e-12, in float64).
TOLERANCE = STEPS * 1e-12


def sgd(parameters, forward, target, rate: float, steps: int = STEPS) -> list[float]:
    optimizer, losses = torch.optim.SGD(parameters, lr=rate), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((forward() - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def source_values(model) -> dict[str, np.ndarray]:
    """Parameters of a core model, by their name in the file and in its layout."""
    return {name: as_array(model.to_source(name, v)) for name, v in model.parameters().items()}


def same(ours: dict, theirs: dict) -> None:
    close = Comparison(TOLERANCE)
    assert theirs
    for name, wanted in theirs.items():
        close.check(name, ours[name], wanted)
    close.done()


def fc_layers(corpus, tmp_path):
    path = tmp_path / "double.pb"
    path.write_bytes(
        in_float64(read_frozen(corpus / "onnx+tensorflow-onnx/tests/models/fc-layers/frozen.pb")).SerializeToString()
    )
    x = normal(8, 784)
    return path, {"X": x}, "output", 0.01


def convolutional(corpus, tmp_path):
    """A small net of TensorFlow's own making, frozen: convolutions in three layouts, a normalization, two products."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shapes = {"conv": [3, 3, 2, 4], "bias": [4], "mean": [4], "deep": [3, 3, 4, 2], "dense": [48, 6], "last": [6, 3]}
    w = {k: tf.Variable(0.3 * normal(*s, seed=i), name=k) for i, (k, s) in enumerate(shapes.items())}

    @tf.function
    def net(x):
        y = tf.nn.relu(tf.nn.conv2d(x, w["conv"], 2, "SAME") + w["bias"])
        y = (y - w["mean"]) * tf.math.rsqrt(tf.nn.moments(y, [1, 2], keepdims=True)[1] + 1e-3)
        y = tf.nn.depthwise_conv2d(y, w["deep"], [1, 1, 1, 1], "SAME")
        y = tf.nn.max_pool2d(y, 2, 1, "VALID")
        y = tf.tanh(tf.reshape(y, [tf.shape(x)[0], -1]) @ w["dense"])
        return tf.nn.softmax(y @ w["last"])

    frozen = convert_variables_to_constants_v2(
        net.get_concrete_function(tf.TensorSpec([None, 7, 6, 2], "float64", "x"))
    )
    path = tmp_path / "net.pb"
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    return path, {"x": normal(5, 7, 6, 2)}, frozen.outputs[0].op.name, 0.5


@pytest.mark.parametrize("build", [fc_layers, convolutional])
def test_frozen_graph_trains_as_in_tensorflow(corpus, tmp_path, build):
    import midstream
    from midstream import _core

    path, inputs, output, rate = build(corpus, tmp_path)
    xs = [torch.tensor(x) for x in inputs.values()]
    program = _core.open(str(path))
    at = program.output_names().index(output)
    target = torch.rand(program.forward(xs)[at].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    names = sorted(program.parameters())
    theirs, their_losses = train_by_tf(
        read_frozen(path), inputs, output, lambda y: tf.reduce_mean((y - target.numpy()) ** 2), names, rate, STEPS
    )
    assert their_losses[-1] < their_losses[0]

    losses = sgd(program.parameters().values(), lambda: program.forward(xs, True)[at], target, rate)
    np.testing.assert_allclose(losses, their_losses, rtol=TOLERANCE)
    same(source_values(program), theirs)

    # The same through the generated module, and back into a graph that TensorFlow runs.
    module = midstream.load(path)
    losses = sgd(module.parameters(), lambda: module(*xs), target, rate)
    np.testing.assert_allclose(losses, their_losses, rtol=TOLERANCE)
    trained = tmp_path / "trained.pb"
    midstream.save(module, trained)
    same(source_values(_core.open(str(trained))), theirs)
    _, (loss, *_) = train_by_tf(
        read_frozen(trained), inputs, output, lambda y: tf.reduce_mean((y - target.numpy()) ** 2), names, rate, 1
    )
    np.testing.assert_allclose(loss, ((module(*xs) - target) ** 2).mean().item(), rtol=TOLERANCE)


def test_statistics_of_a_frozen_normalization_stay(tmp_path):
    """TensorFlow differentiates an inference FusedBatchNorm by neither statistic: they are no parameters."""
    from midstream import _core
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    names = ("scale", "offset", "mean", "variance")
    w = {
        k: tf.Variable(np.abs(normal(4, dtype="float32", seed=i)) + np.float32(0.5), name=k)
        for i, k in enumerate(names)
    }

    @tf.function
    def net(x):
        return tf.compat.v1.nn.fused_batch_norm(x, *w.values(), is_training=False)[0]

    frozen = convert_variables_to_constants_v2(
        net.get_concrete_function(tf.TensorSpec([None, 5, 5, 4], "float32", "x"))
    )
    path = tmp_path / "net.pb"
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    program = _core.open(str(path))
    values = {k: v.numpy() for k, v in w.items()}
    trained = [as_array(v) for v in program.parameters().values()]
    assert {k for k, v in values.items() if any(np.array_equal(v, t) for t in trained)} == {"scale", "offset"}
    assert len(program.state()) == 2
    x = normal(2, 5, 5, 4, dtype="float32")
    (y,) = program.forward([torch.tensor(x)])
    with tf.GradientTape() as tape:
        z = net(tf.constant(x))
    gradients = tape.gradient(z, list(w.values()))
    assert [g is None for g in gradients] == [False, False, True, True]
    y.sum().backward()
    # float32 sums of 50 terms in another order
    bound = 50 * np.finfo("float32").eps
    ours = sorted(float(np.abs(as_array(v.grad)).max()) for v in program.parameters().values())
    theirs = sorted(float(np.abs(g).max()) for g in gradients[:2])
    np.testing.assert_allclose(ours, theirs, rtol=bound)


class Net(tf.Module):
    """A TF2 module: variables of two dtypes, nested, one not trainable, one that the signature does not read."""

    def __init__(self):
        super().__init__()
        self.layers = [tf.Variable(normal(6, 5) * 0.3, name="w"), tf.Variable(normal(5) * 0.3, name="b")]
        self.head = tf.Variable(normal(5, 2), name="head")
        self.scale = tf.Variable(np.float64(1.5), trainable=False, name="scale")
        self.unread = tf.Variable([7, 8], name="unread")

    @tf.function(input_signature=[tf.TensorSpec([None, 6], "float64", name="x")])
    def __call__(self, x):
        return {"y": tf.tanh(x @ self.layers[0] + self.layers[1]) @ self.head * self.scale}


@pytest.fixture
def saved_net(tmp_path):
    net = Net()
    path = tmp_path / "net"
    tf.saved_model.save(net, str(path), signatures=net.__call__)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "note").write_text("the user's")
    return path


def train_saved_by_tf(path, x, target, rate):
    loaded = tf.saved_model.load(str(path))
    variables = [v for v in loaded.signatures["serving_default"].variables if v.trainable]
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((loaded.signatures["serving_default"](x=tf.constant(x))["y"] - target) ** 2)
        for v, g in zip(variables, tape.gradient(loss, variables), strict=True):
            v.assign_sub(rate * g)
    return loaded


def test_saved_model_trains_and_goes_back(saved_net, tmp_path):
    import midstream

    x, target = normal(7, 6), normal(7, 2, seed=4)
    module = midstream.load(saved_net)
    assert {name for name, p in module.named_parameters() if p.requires_grad}
    sgd(module.parameters(), lambda: module(torch.tensor(x)), torch.tensor(target), 0.1)
    out = tmp_path / "trained"
    midstream.save(module, out)

    theirs, ours = train_saved_by_tf(saved_net, x, target, 0.1), tf.saved_model.load(str(out))
    same(variables_of(ours), variables_of(theirs))
    y = ours.signatures["serving_default"](x=tf.constant(x))["y"].numpy()
    same({"y": module(torch.tensor(x))}, {"y": y})
    assert (out / "assets.extra" / "note").read_text() == "the user's"
    assert (out / "saved_model.pb").read_bytes() == (saved_net / "saved_model.pb").read_bytes()

    # Over the source itself, which stays what it was until then.
    same(variables_of(tf.saved_model.load(str(saved_net))), variables_of(Net()))
    midstream.save(module, saved_net)
    same(variables_of(tf.saved_model.load(str(saved_net))), variables_of(ours))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "trained"]


def variables_of(net) -> dict:
    named = {"w": net.layers[0], "b": net.layers[1], "head": net.head, "scale": net.scale, "unread": net.unread}
    return {k: v.numpy() for k, v in named.items()}


def test_where_a_saved_model_is_not_written(saved_net, tmp_path):
    """What is in the way stays, and nothing half-written is left."""
    import midstream

    module = midstream.load(saved_net)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(midstream.UsageError, match="is there already and no SavedModel"):
        midstream.save(module, tmp_path / "mine")
    with pytest.raises(midstream.UsageError, match="is there already and no SavedModel"):
        midstream.save(module, tmp_path / "mine" / "thesis.tex")
    with pytest.raises(midstream.BadFileError, match="cannot be written"):
        midstream.save(module, tmp_path / "nowhere" / "out")
    with pytest.raises(midstream.UsageError, match=r"does not come from midstream.load"):
        midstream.save(torch.nn.Linear(2, 2), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "net"]
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


FULL_DISK = """
import resource, sys
import midstream

module = midstream.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    midstream.save(module, sys.argv[2])
except midstream.BadFileError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 200])
@pytest.mark.parametrize("over", [False, True])
def test_full_disk(saved_net, tmp_path, limit, over):
    """No file may grow beyond `limit` bytes, as if the disk were full: before the first byte, and in the variables."""
    before = {p.relative_to(saved_net): p.read_bytes() for p in saved_net.rglob("*") if p.is_file()}
    out = saved_net if over else tmp_path / "out"
    build = (
        str(pathlib.Path(sys.modules["midstream"].__file__).parent.parent)
        if "midstream" in sys.modules
        else sys.path[0]
    )
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, saved_net, out, str(limit)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": build},
    )  # fmt: skip
    assert "cannot be written" in said.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert {p.relative_to(saved_net): p.read_bytes() for p in saved_net.rglob("*") if p.is_file()} == before


def test_frozen_graph_is_not_written_as_something_else(corpus, tmp_path):
    import midstream

    module = midstream.load(corpus / "onnx+tensorflow-onnx/tests/models/fc-layers/frozen.pb")
    with pytest.raises(midstream.UsageError, match=r"ends in .pb"):
        midstream.save(module, tmp_path / "out.keras")
    assert not list(tmp_path.iterdir())


def test_checkpoint_goes_back(corpus, tmp_path):
    """A TF1 training: its graph trained on, and restored by TensorFlow's own Saver."""
    import midstream

    source = corpus / "onnx+tensorflow-onnx/tests/models/regression/checkpoint"
    module = midstream.load(source, signature="pred")
    x, target = torch.randn(9), torch.randn(9)
    sgd(module.parameters(), lambda: module(x), target, 0.1)
    midstream.save(module, tmp_path / "trained")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        saver = tf.compat.v1.train.import_meta_graph(str(tmp_path / "trained.meta"))
        saver.restore(session, str(tmp_path / "trained"))
        y = session.run(graph.get_tensor_by_name("pred:0"), {"X:0": x.numpy()})
    np.testing.assert_array_equal(y, module(x).detach().numpy())


def test_while_loop_lstm_trains_and_goes_back(tmp_path):
    """The training function of a tf_keras SavedModel, loops and all, as a module: trained, and back to TensorFlow."""
    import midstream
    from helpers.oracle import floatx, tf_keras
    from helpers.saved_model import function_of

    path, x, target = tmp_path / "lstm", normal(3, 6, 4), normal(3, 2)
    with floatx("float64"):
        k = tf_keras.layers
        model = tf_keras.Sequential([k.Input((6, 4)), k.LSTM(5), k.BatchNormalization(), k.Dense(2)])
        model.save(path, save_format="tf")
        theirs = tf.saved_model.load(str(path))
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((theirs(tf.constant(x), True) - target) ** 2)
            gradients = tape.gradient(loss, theirs.trainable_variables)
            for v, g in zip(theirs.trainable_variables, gradients, strict=True):
                v.assign_sub(0.1 * g)
        module = midstream.load(path, function=function_of(path, training=True))
        module.train()
        sgd(module.parameters(), lambda: module(torch.tensor(x)), torch.tensor(target), 0.1)
        midstream.save(module, tmp_path / "trained")
        ours = tf.saved_model.load(str(tmp_path / "trained"))
        same({v.name: v.numpy() for v in ours.variables}, {v.name: v.numpy() for v in theirs.variables})
        same({"y": ours(tf.constant(x), False).numpy()}, {"y": theirs(tf.constant(x), False).numpy()})
