"""SavedModels, checkpoints and frozen graphs of other people: TensorFlow's numbers, and gradients of their weights."""

import pathlib

import numpy as np
import pytest
from helpers.compare import Comparison, relative_error
from helpers.frozen import gradients_by_tf, in_float64, read_frozen
from helpers.graphs import normal, run, weights_for
from helpers.oracle import tf

SERVING = "tensorflow+serving/tensorflow_serving/servables/tensorflow/testdata"
MODELS = "onnx+tensorflow-onnx/tests/models"
HALF_PLUS_TWO = [
    "saved_model_half_plus_two_2_versions/00000123", "saved_model_half_plus_two_2_versions/00000124",
    "saved_model_half_plus_two_cpu/00000123", "saved_model_half_plus_two_cpu_with_empty_saved_model_config/00000123",
    "saved_model_half_plus_two_cpu_with_saved_model_config/00000123", "saved_model_half_plus_two_gpu/00000123",
    "saved_model_half_plus_two_gpu_trt/00000123", "saved_model_half_plus_two_mkl/00000123",
    "saved_model_half_plus_two_mlmd/00000123", "saved_model_half_plus_two_tf2_cpu/00000123",
]  # fmt: skip
SINGLE = np.finfo("float32").eps


@pytest.mark.parametrize("model", HALF_PLUS_TWO)
def test_half_plus_two(corpus, model):
    """Every signature that takes numbers."""
    path = corpus / SERVING / model
    loaded = tf.saved_model.load(str(path))
    seen = 0
    for name, signature in loaded.signatures.items():
        ((port, spec),) = signature.structured_input_signature[1].items()
        if spec.dtype == tf.string:
            continue
        seen += 1
        x = np.array([3.0] if spec.shape == [1] else [[1.0], [2.0], [5.0]], "float32")
        if name == "regress_x2_to_y3" and "mkl" in model:  # it adds images of 10 x 10: for one row, or for ten
            x = x[:1]
        ours = run(path, {port: x}, signature=name, shapes={port: x.shape})
        for output, y in signature(**{port: tf.constant(x)}).items():
            np.testing.assert_array_equal(ours[output], y.numpy())
    assert seen >= 2


def test_default_signature_and_strings(corpus):
    from midstream import UnsupportedError, UsageError

    path = corpus / SERVING / HALF_PLUS_TWO[0]
    (y,) = run(path, {"x": np.array([[4.0]], "float32")}).values()
    assert y == 4.0
    with pytest.raises(UnsupportedError, match="string"):
        run(path, {}, signature="regress_x_to_y")
    with pytest.raises(UsageError, match=r"has no signature nonsense; it has .*serving_default"):
        run(path, {}, signature="nonsense")


def check_frozen(path, inputs, tmp_path):
    graph_def = read_frozen(path)
    weights = weights_for(run(path, inputs))
    ours = run(path, inputs, weights, packed=True)
    found = [k.removeprefix("gradient:") for k in ours if k.startswith("gradient:")]
    variables = [name for name in found if name not in inputs]
    assert variables, "the graph's weights have no gradients"
    theirs = gradients_by_tf(graph_def, inputs, weights, variables)
    double = in_float64(graph_def)
    truth = gradients_by_tf(double, inputs, weights, variables)
    # Over the whole model: which weight is hit harder by rounding is chance.
    ours_off, theirs_off = (max(relative_error(side[k], v) for k, v in truth.items()) for side in (ours, theirs))
    assert ours_off <= 2 * theirs_off + SINGLE, f"{ours_off:.2e} from the truth, TensorFlow {theirs_off:.2e}"
    # The same in float64, where there is no excuse.
    (tmp_path / "double.pb").write_bytes(double.SerializeToString())
    ours = run(tmp_path / "double.pb", {k: v.astype("float64") for k, v in inputs.items()}, weights)
    close = Comparison(1e-12)
    for name, wanted in truth.items():
        close.check(name, ours[name], wanted)
    close.done()


def inputs_of(path) -> dict[str, np.ndarray]:
    inputs = {}
    for node in read_frozen(path).node:
        if node.op != "Placeholder":
            continue
        dims = [3 if d.size < 0 else d.size for d in node.attr["shape"].shape.dim]
        inputs[node.name] = normal(*(dims or [3, 784]), dtype="float32")
        if node.name == "keep_prob":
            inputs[node.name] = np.float32(1)  # nothing is dropped
    return inputs


@pytest.mark.parametrize("model", ["regression/graphdef", "fc-layers", "gru", "lstm", "ae0"])
def test_frozen(corpus, model, tmp_path):
    path = corpus / MODELS / model / "frozen.pb"
    check_frozen(path, inputs_of(path), tmp_path)


def regression_by_tf(root, x, y, weight):
    """Prediction, loss, and the gradients of the weighted prediction, by TensorFlow's own restore of the checkpoint."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        saver = tf.compat.v1.train.import_meta_graph(str(root / "checkpoint/model.meta"))
        saver.restore(session, str(root / "checkpoint/model"))
        pred, loss = (graph.get_tensor_by_name(f"{name}:0") for name in ("pred", "truediv"))
        variables = tf.compat.v1.trainable_variables()
        gradients = tf.gradients(tf.reduce_sum(pred * weight), variables)
        pred, loss, *gradients = session.run([pred, loss, *gradients], {"X:0": x, "Y:0": y})
    return pred, loss, {v.op.name: g for v, g in zip(variables, gradients, strict=True)}


@pytest.mark.parametrize("form", ["graphdef/frozen.pb", "saved_model", "checkpoint", "checkpoint/model.meta"])
def test_regression_in_every_form(corpus, form):
    """y = W x + b in float32: gradients are sums of four products, and of four numbers."""
    root = corpus / MODELS / "regression"
    x, y, weight = (normal(4, dtype="float32", seed=i) for i in range(3))
    pred, loss, gradients = regression_by_tf(root, x, y, weight)
    ours = run(root / form, {"X": x}, {"pred": weight}, signature="pred" if "checkpoint" in form else "")
    np.testing.assert_array_equal(ours["pred"], pred)
    assert sorted(gradients) == ["W", "b"]
    for name, wanted in gradients.items():
        terms = np.abs(weight * x if name == "W" else weight).sum()
        assert abs(ours[f"gradient:{name}"] - wanted) <= 4 * SINGLE * terms, name
    if "checkpoint" in form:  # the graph of the training: its end is the loss
        ours = run(root / form, {"X": x, "Y": y})
        assert list(ours) == ["truediv"]
        assert abs(ours["truediv"] - loss) <= 4 * SINGLE * loss


def read_csv(path: pathlib.Path, dtype="float32") -> np.ndarray:
    numbers = np.array(path.read_text().split(), dtype)
    shape = [int(n) for n in path.with_suffix(".shape").read_text().replace(",", " ").split()]
    return numbers.reshape(() if shape == [0] else shape)  # [0]: a number


@pytest.mark.parametrize("swap", [False, True])
def test_simpleif(corpus, swap, tmp_path):
    """Both branches of a TF1 cond, and the recorded output of the one that was taken."""
    path = corpus / "KonduitAI+dl4j-test-resources/tf_graphs/simpleif_0"
    inputs = {n: read_csv(path / f"{n}.placeholder.csv") for n in ("input_0", "input_1")}
    if swap:
        inputs = {n: -x for n, x in inputs.items()}
    graph = read_frozen(path / "frozen_model.pb")
    ours = run(path / "frozen_model.pb", inputs)
    theirs = gradients_by_tf(graph, inputs, weights_for(ours), [])
    for name, y in theirs.items():
        np.testing.assert_array_equal(ours[name], y)
    if not swap:
        np.testing.assert_array_equal(ours["output"], read_csv(path / "output.prediction.csv"))
