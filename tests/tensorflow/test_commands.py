"""The command on TensorFlow's files: inspect, predict, convert."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.compare import relative_error
from helpers.frozen import gradients_by_tf, in_float64, read_frozen
from helpers.graphs import normal
from helpers.oracle import tf

SERVING = "tensorflow+serving/tensorflow_serving/servables/tensorflow/testdata"
MODELS = "onnx+tensorflow-onnx/tests/models"


def test_inspect_saved_model(corpus, midstream):
    path = corpus / SERVING / "saved_model_half_plus_two_cpu/00000123"
    found = json.loads(midstream("inspect", path, "--json").stdout)
    assert found["format"] == "SavedModel"
    assert found["unsupported"] == []
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 1]}]
    names = ["classify_x_to_y", "regress_x2_to_y3", "regress_x_to_y", "regress_x_to_y2", "serving_default"]
    assert sorted(found["signatures"]) == names
    assert found["signatures"]["regress_x_to_y"]["inputs"][0]["dtype"] == "string"
    assert {v["name"] for v in found["variables"] if v["trainable"]} >= {"a", "b"}
    text = midstream("inspect", path).stdout
    for words in ("SavedModel, written by TensorFlow", "signature  serving_default", "parameters"):
        assert words in text


def test_inspect_frozen_graph(corpus, midstream):
    path = corpus / MODELS / "fc-layers/frozen.pb"
    found = json.loads(midstream("inspect", path, "--json").stdout)
    assert found["format"] == "GraphDef"
    assert found["inputs"] == [{"name": "X", "dtype": "float32", "shape": [None, 784]}]
    assert [o["name"] for o in found["outputs"]] == ["output"]
    assert len(found["variables"]) == 6
    assert all(v["trainable"] for v in found["variables"])
    assert "written by" not in midstream("inspect", path).stdout  # a frozen graph does not say


def test_inspect_lists_everything_that_is_missing(tmp_path, midstream):
    @tf.function
    def net(x):
        return tf.math.betainc(x, x, x) + tf.raw_ops.NearestNeighbors(points=x, centers=x, k=1)[1]

    graph = net.get_concrete_function(tf.TensorSpec([3, 3], "float32", "x")).graph.as_graph_def()
    (tmp_path / "net.pb").write_bytes(graph.SerializeToString())
    found = json.loads(midstream("inspect", tmp_path / "net.pb", "--json").stdout)
    assert {m["op"] for m in found["unsupported"]} == {"tf.Betainc", "tf.NearestNeighbors"}
    refused = midstream("predict", tmp_path / "net.pb", "-o", "y.npz", code=1)
    assert "tf.Betainc" in refused.stderr
    assert "tf.NearestNeighbors" in refused.stderr


def predicted(midstream, tmp_path, path, *more, **arrays) -> dict:
    np.savez(tmp_path / "x.npz", **arrays)
    midstream("predict", path, "--data", tmp_path / "x.npz", "-o", tmp_path / "y.npz", *more)
    return dict(np.load(tmp_path / "y.npz"))


def test_predict_signatures(corpus, midstream, tmp_path):
    path = corpus / SERVING / "saved_model_half_plus_two_cpu/00000123"
    x = np.array([[1.0], [2.0], [5.0]], "float32")
    np.testing.assert_array_equal(predicted(midstream, tmp_path, path, x=x)["y"], x / 2 + 2)
    theirs = tf.saved_model.load(str(path)).signatures["regress_x2_to_y3"](inputs=tf.constant(x))
    ours = predicted(midstream, tmp_path, path, "--signature", "regress_x2_to_y3", x=x)
    np.testing.assert_array_equal(ours["y"] if "y" in ours else ours["y:outputs"], theirs["outputs"].numpy())
    refused = midstream("predict", path, "--signature", "nonsense", "-o", "y.npz", code=2)
    assert "has no signature nonsense" in refused.stderr


def test_predict_an_input_of_any_rank(corpus, midstream, tmp_path):
    path = corpus / SERVING / "saved_model_half_plus_two_mlmd/00000123"
    for shape in ([], [4], [4, 1], [2, 3, 4]):
        x = normal(*shape, dtype="float32")
        y = predicted(midstream, tmp_path, path, x=x)["y"]
        theirs = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant(x))["y"].numpy()
        np.testing.assert_array_equal(y, theirs)


@pytest.mark.parametrize("model", ["fc-layers", "ae0", "gru", "lstm"])
def test_predict_frozen_graph(corpus, midstream, tmp_path, model):
    """In float64, where another order of summation is no excuse; 40 rows are two batches."""
    graph, x = in_float64(read_frozen(corpus / MODELS / model / "frozen.pb")), normal(40, 784)
    (tmp_path / "net.pb").write_bytes(graph.SerializeToString())
    inputs = {n.name: x if n.name == "X" else np.float64(1) for n in graph.node if n.op == "Placeholder"}
    theirs = gradients_by_tf(graph, inputs, {"output": np.float64(1)}, [])["output"]
    ours = predicted(midstream, tmp_path, tmp_path / "net.pb", **{f"x:{k}": v for k, v in inputs.items()})["y"]
    assert relative_error(ours, theirs) <= 1e-12


RUN_IT = """
import sys
import numpy, torch
from safetensors.torch import load_file
import model

net = getattr(model, sys.argv[1])()
net.load_state_dict(load_file("weights.safetensors"))
y = net.eval()(torch.from_numpy(numpy.load("x.npy")))
numpy.save("y.npy", y.detach().numpy())
assert "midstream" not in sys.modules
"""


@pytest.mark.parametrize("model", ["regression/graphdef/frozen.pb", "regression/saved_model", "fc-layers/frozen.pb"])
def test_converted_source_runs_by_itself(corpus, midstream, tmp_path, model):
    path, out, x = corpus / MODELS / model, tmp_path / "out", normal(4, dtype="float32")
    if "fc-layers" in model:  # in float64: a layer is free to add in another order
        path, x = tmp_path / "net.pb", normal(3, 784)
        path.write_bytes(in_float64(read_frozen(corpus / MODELS / model)).SerializeToString())
    said = midstream("convert", path, "-o", out).stdout
    name = said.split("class ")[1].split(",")[0]
    np.save(out / "x.npy", x)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", RUN_IT, name], cwd=out, check=True, env=environment)
    ours = predicted(midstream, tmp_path, path, x=x)["y"]
    assert relative_error(np.load(out / "y.npy"), ours) <= (1e-12 if x.dtype == np.float64 else 0)
    assert ("nn.Linear" in (out / "model.py").read_text()) == ("fc-layers" in model)
