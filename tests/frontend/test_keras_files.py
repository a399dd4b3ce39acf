"""Files of every kind that Keras writes: what the front end and lower/keras make of them, against Keras itself.

Each model is trained for a few steps and saved by Keras 3 and tf_keras, as .keras and .h5. Then: the outputs are
Keras' (float64), each trainable weight and each of its optimizer slots is found, in Keras' order.
"""

from __future__ import annotations

import json
import subprocess

import h5py
import numpy as np
import pytest
from conftest import BUILD
from helpers.oracle import floatx, keras, tf_keras

BATCH = 8


def mlp(k):
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((4,)),
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.Dense(8, activation="tanh", trainable=False),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return model, "adam", "categorical_crossentropy"


def without_input_layer(k):
    model = k.Sequential([k.layers.Dense(8, activation="relu"), k.layers.BatchNormalization(), k.layers.Dense(3)])
    model.build((None, 4))
    return model, k.optimizers.RMSprop(0.01, momentum=0.9, centered=True), "mse"


def nested_and_shared(k):
    layers = k.layers
    a, b = k.Input((6,), name="a"), k.Input((6,), name="b")
    t = k.Input((6,))
    h = layers.BatchNormalization()(layers.Dense(5, activation="tanh")(t))
    tower = k.Model(t, h, name="tower")
    frozen = layers.Dense(4, name="frozen")
    frozen.trainable = False
    seq = k.Sequential([layers.Dense(4), frozen, layers.BatchNormalization(), layers.LeakyReLU(0.1)], name="seq")
    z = seq(layers.Concatenate()([tower(a), tower(b)]))
    shared = layers.Dense(4, name="shared")
    z = shared(shared(z))
    outputs = {
        "o1": layers.Dense(1, name="o1")(z),
        "o2": layers.Dense(3, name="o2", activation="softmax")(layers.Add()([z, z])),
    }
    schedule = k.optimizers.schedules.CosineDecay(0.1, 100)
    return (
        k.Model({"a": a, "b": b}, outputs),
        k.optimizers.SGD(schedule, momentum=0.9, nesterov=True),
        {"o1": "mse", "o2": k.losses.CategoricalCrossentropy(label_smoothing=0.1)},
    )


def frozen_model_inside(k):
    layers = k.layers
    t = k.Input((4,))
    inner = k.Model(t, layers.BatchNormalization()(layers.Dense(5)(t)), name="inner")
    inner.trainable = False
    x = k.Input((4,))
    return k.Model(x, layers.Dense(2)(layers.BatchNormalization()(inner(x)))), k.optimizers.Adagrad(0.1), "mse"


def text(k):
    layers = k.layers
    x = k.Input((7,), dtype="int32")
    h = layers.Embedding(20, 8, mask_zero=True)(x)
    h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(h)
    h = layers.MultiHeadAttention(2, 4)(h, h)
    h = layers.GRU(4)(h)
    h = layers.TimeDistributed(layers.Dense(2))(layers.RepeatVector(3)(h))
    h = layers.TimeDistributed(k.Sequential([k.Input((2,)), layers.Dense(3), layers.Dense(2)]))(h)
    y = layers.Dense(1, activation="sigmoid")(layers.Flatten()(h))
    return k.Model(x, y), k.optimizers.AdamW(1e-3, clipnorm=1.0, amsgrad=True), "binary_crossentropy"


def with_operations(k):
    x = k.Input((4, 6))
    y = 1 - (x * 2.0 - 1) / 4
    y = k.ops.concatenate([y[:, :2], k.ops.transpose(x, (0, 2, 1))[:, :2, :4] @ x, k.ops.relu(x)[..., ::-1]], axis=1)
    y = k.layers.Dense(2)(k.ops.reshape(y, (-1, y.shape[1] * 6)))
    return k.Model(x, k.ops.maximum(y, 0.1) / 2), k.optimizers.SGD(0.01, momentum=0.5), "mse"


def ema_and_accumulation(k):
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dense(3)])
    return model, k.optimizers.Adam(1e-3, use_ema=True, gradient_accumulation_steps=2), "mse"


def legacy_adam(k):
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dense(3)])
    return model, k.optimizers.legacy.Adam(amsgrad=True), "mse"


BOTH = [mlp, without_input_layer, nested_and_shared, frozen_model_inside, text]
CASES = (
    [(build, keras, f) for build in [*BOTH, with_operations, ema_and_accumulation] for f in (".keras", ".h5")]
    + [(build, tf_keras, f) for build in BOTH for f in (".keras", ".h5")]
    + [(legacy_adam, tf_keras, ".h5")]
)


def case_id(value):
    return value if isinstance(value, str) else value.__name__


@pytest.fixture
def run_keras(tmp_path):
    def run(path, inputs, training=False):
        np.savez(tmp_path / "in.npz", **{f"x{i}": x for i, x in enumerate(inputs)})
        command = [BUILD / "tests" / "run_keras", path, tmp_path / "in.npz", tmp_path / "out.npz"]
        done = subprocess.run(command + ["training"] * training, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout), dict(np.load(tmp_path / "out.npz"))

    return run


def made_up(model, rng):
    arrays = []
    for tensor in model.inputs:
        shape = (BATCH, *tensor.shape[1:])
        dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
        arrays.append(rng.integers(0, 6, shape).astype("int32") if dtype == "int32" else rng.normal(size=shape))
    return arrays


def targets(expected, rng):
    made = {name: np.eye(t.shape[-1])[rng.integers(0, t.shape[-1], BATCH)] for name, t in expected.items()}
    return made.get("", made)


def as_inputs(model, arrays):
    names = [t.name.split(":")[0] for t in model.inputs]
    return dict(zip(names, arrays, strict=True)) if len(arrays) > 1 else arrays[0]


def predict(model, arrays):
    """name -> array; the only output's name is ""."""
    y = model(as_inputs(model, arrays), training=False)
    y = y if isinstance(y, dict) else {"": y}
    return {name: np.asarray(value) for name, value in y.items()}


def slot_values(optimizer, model):
    """name of slot -> values in the order of the trainable variables, from the optimizer's own lists."""
    lists = {
        "momentum": ["_momentums", "momentums"],
        "velocity": ["_velocities"],
        "velocity_hat": ["_velocity_hats"],
        "average_gradient": ["_average_gradients"],
        "accumulator": ["_accumulators"],
        "average": ["_model_variables_moving_average"],
        "gradient_accumulator": ["_accumulated_gradients"],
    }
    if hasattr(optimizer, "get_slot"):
        short = {"m": "momentum", "v": "velocity", "vhat": "velocity_hat"}
        return {long: [optimizer.get_slot(v, s) for v in model.trainable_variables] for s, long in short.items()}
    out = {}
    for slot, attributes in lists.items():
        for attribute in attributes:
            values = getattr(optimizer, attribute, None)
            if values:
                out[slot] = list(values)
    return out


@pytest.mark.parametrize(("build", "k", "suffix"), CASES, ids=case_id)
def test_file(build, k, suffix, tmp_path, run_keras):
    with floatx("float64"):
        k.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        model, optimizer, loss = build(k)
        model.compile(optimizer, loss)
        arrays = made_up(model, rng)
        y = targets(predict(model, arrays), rng)
        model.fit(as_inputs(model, arrays), y, epochs=3, batch_size=BATCH, verbose=0)
        path = tmp_path / f"model{suffix}"
        model.save(path)
        expected = predict(model, arrays)

    report, results = run_keras(path, arrays)

    for i, name in enumerate(sorted(expected)):
        np.testing.assert_allclose(results[f"y{i}"], expected[name], rtol=1e-12, atol=1e-12)
    trainable = report["trainable"]
    assert len(trainable) == len(model.trainable_variables)
    assert report["iterations"] == 3  # batches, with gradient accumulation too
    slots = slot_values(model.optimizer, model)
    assert slots
    for slot, values in slots.items():
        for weight, value in zip(trainable, values, strict=True):
            assert weight["slots"][slot] == pytest.approx(float(np.sum(np.asarray(value))), rel=1e-12, abs=1e-15)


def test_every_file_of_the_corpus_opens(corpus):
    """Real files of Keras 1 to 3. What does not open is no model: weights alone, recorded activations."""
    files = sorted(p for p in corpus.rglob("*") if p.suffix in (".h5", ".hdf5", ".keras"))
    models = [
        p
        for p in files
        if not p.stem.endswith(("_inputs_and_outputs", "_weights")) and "keras/weights" not in p.as_posix()
    ]
    assert models
    done = subprocess.run([BUILD / "tests" / "dump_keras", "--quiet", *models], capture_output=True, text=True)
    failures = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert not failures, "\n".join(failures)


def recorded_predictions(root):
    for path in sorted(root.rglob("*_inputs_and_outputs.h5")):
        model = path.with_name(path.name.replace("_inputs_and_outputs", "_model"))
        if model.exists() and "keras_1" not in model.name:
            with h5py.File(path) as f:
                if "predictions" not in f:
                    continue  # targets alone
                yield model, next(iter(f["inputs"].values()))[()], next(iter(f["predictions"].values()))[()]


def test_predictions_recorded_by_keras(corpus, midstream, tmp_path):
    """Models of the corpus beside which somebody keeps what Keras predicted (Keras 2.0 to 2.3, float32)."""
    seen = 0
    for model, x, expected in recorded_predictions(corpus):
        np.savez(tmp_path / "in.npz", x=x)
        midstream("predict", model, "--data", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
        y = np.load(tmp_path / "out.npz")["y"]
        np.testing.assert_allclose(y, expected.reshape(y.shape), rtol=1e-5, atol=1e-6, err_msg=str(model))
        seen += 1
    assert seen >= 10


def test_a_file_of_weights_alone_says_so(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    done = subprocess.run([BUILD / "tests" / "dump_keras", path], capture_output=True, text=True)
    assert "holds a model's weights but not its configuration" in done.stdout


def in_words_of_keras_1(path, mode):
    """The configs of an Embedding and a BatchNormalization as Keras 1.2 wrote them."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            c = layer["config"]
            if layer["class_name"] == "Embedding":
                for old, new in (
                    ("init", "initializer"),
                    ("W_regularizer", "regularizer"),
                    ("W_constraint", "constraint"),
                ):
                    c[old] = c.pop(f"embeddings_{new}", c.get(old))
                c["dropout"] = 0.0
            elif layer["class_name"] == "BatchNormalization":
                layer["config"] = {k: c[k] for k in ("name", "axis", "epsilon", "momentum")} | {"mode": mode}
        file.attrs["model_config"] = json.dumps(config)


def test_entries_of_keras_1_that_are_off(midstream, tmp_path):
    tf_keras.utils.set_random_seed(0)
    layers = [tf_keras.layers.Embedding(9, 4, input_length=3), tf_keras.layers.BatchNormalization()]
    model = tf_keras.Sequential([*layers, tf_keras.layers.Flatten(), tf_keras.layers.Dense(2)])
    x = np.arange(6).reshape(2, 3)
    y = model.predict(x, verbose=0)
    model.save(tmp_path / "model.h5")
    in_words_of_keras_1(tmp_path / "model.h5", mode=0)
    np.savez(tmp_path / "in.npz", x=x)
    midstream("predict", "model.h5", "--data", "in.npz", "-o", "out.npz")
    # float32: a sum of 12 products of at most 0.05 * 0.7, at most 13 roundings of 2^-24.
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], y, rtol=0, atol=4e-7)
    # One that means something is not passed over: mode 1 normalizes each sample by itself.
    in_words_of_keras_1(tmp_path / "model.h5", mode=1)
    assert "mode=1" in midstream("predict", "model.h5", "--data", "in.npz", "-o", "out.npz", code=1).stderr
