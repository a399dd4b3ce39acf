"""`midstream verify --oracle` runs no code of a model file, unless it is asked to, and none that lies beside it."""

from __future__ import annotations

import sys

import pytest
from helpers.oracle import keras, tf_keras


@pytest.mark.parametrize(
    ("module", "ending"),
    [(keras, "keras"), (keras, "h5"), (tf_keras, "h5")],
    ids=["keras3", "keras3 h5", "tf_keras h5"],
)
def test_a_layer_that_is_code(module, ending, midstream, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = module.Input((2,))
    code = module.layers.Lambda(lambda v: (open("canary", "w").close(), v)[1], output_shape=(2,))  # noqa: PTH123
    module.Model(x, module.layers.Dense(2)(code(x))).save(f"model.{ending}")
    (tmp_path / "canary").unlink(missing_ok=True)  # Keras 2 calls the layer while it makes the model
    refused = midstream("verify", f"model.{ending}", "--oracle", sys.executable, code=2)
    assert not (tmp_path / "canary").exists()
    assert "--trust" in refused.stderr
    # midstream itself has no Lambda: the comparison fails, but TensorFlow has run the layer.
    midstream("verify", f"model.{ending}", "--oracle", sys.executable, "--trust", code=1)
    assert (tmp_path / "canary").exists()


def test_a_module_beside_the_file(midstream, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = keras.Input((2,))
    keras.Model(x, keras.layers.Dense(2)(x)).save("model.keras")
    for name in ("numpy", "tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w').close()\n")
    midstream("verify", "model.keras", "--oracle", sys.executable)
    assert not (tmp_path / "canary").exists()
