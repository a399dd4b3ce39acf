"""Real SavedModels of other people: TensorFlow's numbers."""

import numpy as np
import pytest
from helpers.compare import relative_error
from helpers.graphs import normal, run
from helpers.oracle import tf

HALF_PLUS_TWO = [
    "saved_model_half_plus_two_2_versions/00000123", "saved_model_half_plus_two_2_versions/00000124",
    "saved_model_half_plus_two_cpu/00000123", "saved_model_half_plus_two_cpu_with_empty_saved_model_config/00000123",
    "saved_model_half_plus_two_cpu_with_saved_model_config/00000123", "saved_model_half_plus_two_gpu/00000123",
    "saved_model_half_plus_two_mkl/00000123", "saved_model_half_plus_two_mlmd/00000123",
    "saved_model_half_plus_two_tf2_cpu/00000123",
]  # fmt: skip


@pytest.mark.parametrize("model", HALF_PLUS_TWO)
def test_half_plus_two(corpus, model):
    path = corpus / "tensorflow+serving/tensorflow_serving/servables/tensorflow/testdata" / model
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    x = np.array([[1.0], [2.0], [5.0]], "float32")
    theirs = {k: v.numpy() for k, v in signature(x=tf.constant(x)).items()}
    ours = run(path, {"x": x}, signature="serving_default")
    for name, y in theirs.items():
        np.testing.assert_array_equal(ours[name], y)


def test_regression_saved_model(corpus):
    root = corpus / "onnx+tensorflow-onnx/tests/models/regression"
    x = normal(4, 1, dtype="float32")
    saved = tf.saved_model.load(str(root / "saved_model"))
    name, signature = next(iter(saved.signatures.items()))
    (port,) = signature.structured_input_signature[1]
    theirs = [v.numpy() for v in signature(**{port: tf.constant(x[:, 0])}).values()]
    ours = run(root / "saved_model", {port: x[:, 0]}, signature=name)
    for wanted in theirs:
        assert any(relative_error(v, wanted) < 1e-6 for v in ours.values())
