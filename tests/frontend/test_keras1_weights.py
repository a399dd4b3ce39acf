"""Files of Keras 1 and of the Theano backend keep some weights otherwise: gate by gate, filters first, turned kernels.

The oracle is tf_keras' own reader of such files (hdf5_format), which gives a model of today the file's weights; for the
turned kernels of Theano, which tf_keras no longer turns, the convolution of scipy, which turns them as Theano did.
"""

import json

import h5py
import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import tf, tf_keras

RNG = np.random.default_rng(5)
GATES = {"LSTM": "icfo", "GRU": "zrh"}


def normal(*shape):
    return (0.3 * RNG.standard_normal(shape)).astype("float32")


def gates(name, class_name, features, units):
    """A layer's weights as Keras 1 lists them."""
    return [
        (f"{name}_{kind}_{gate}", normal(*shape))
        for gate in GATES[class_name]
        for kind, shape in (("W", (features, units)), ("U", (units, units)), ("b", (units,)))
    ]


def write(path, layers, loss="mse", backend="tensorflow", version="1.2.2", slots=True):
    """Layers: (class, config, arrays). An SGD with momentum whose slots are in the order of the weights' names."""
    config = [{"class_name": c, "config": k} for c, k, _ in layers]
    sgd = {"lr": 0.05, "momentum": 0.9, "decay": 0.0, "nesterov": False}
    with h5py.File(path, "w") as f:
        f.attrs["keras_version"] = version.encode()
        f.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config}).encode()
        f.attrs["training_config"] = json.dumps(
            {"optimizer_config": {"class_name": "SGD", "config": sgd}, "loss": loss, "metrics": [],
             "sample_weight_mode": None, "loss_weights": None}
        ).encode()  # fmt: skip
        group = f.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = version.encode(), backend.encode()
        group.attrs["layer_names"] = [k["name"].encode() for _, k, _ in layers]
        everything = []
        for _, k, arrays in layers:
            of_layer = group.create_group(k["name"])
            of_layer.attrs["weight_names"] = [n.encode() for n, _ in arrays]
            for name, value in arrays:
                of_layer[name] = value
                everything.append((name, value))
        if slots:
            state = f.create_group("optimizer_weights")
            state["iterations"] = np.int64(7)
            names = ["iterations"]
            for name, value in sorted(everything):
                names.append(f"slot_{name}")
                state[names[-1]] = normal(*value.shape)
            state.attrs["weight_names"] = [n.encode() for n in names]


def load_by_tf_keras(path, model):
    from tf_keras.src.saving.legacy import hdf5_format

    with h5py.File(path) as f:
        group = f["model_weights"]
        # tf_keras compares with "1" alone, which is what Keras 1 wrote in the files that name no version.
        kept = {n: [np.array(group[n][w]) for w in group[n].attrs["weight_names"]] for n in group.attrs["layer_names"]}
        slots = {w: np.array(f["optimizer_weights"][w]) for w in f["optimizer_weights"].attrs["weight_names"]}

    def assign(which):
        for layer in model.layers:
            name = layer.name
            arrays = [which(name, i) for i in range(len(kept[name]))]
            inner = layer
            if isinstance(layer, tf_keras.layers.Bidirectional):
                half = len(arrays) // 2
                done = []
                for part, own in ((layer.forward_layer, arrays[:half]), (layer.backward_layer, arrays[half:])):
                    done += hdf5_format.preprocess_weights_for_loading(part, own, "1", None)
            else:
                done = hdf5_format.preprocess_weights_for_loading(inner, arrays, "1", None)
            layer.set_weights(done)

    with h5py.File(path) as f:
        group = f["model_weights"]
        listed = {n: list(group[n].attrs["weight_names"]) for n in group.attrs["layer_names"]}
    assign(lambda name, i: slots[f"slot_{listed[name][i]}"])
    momentum = [np.array(v) for v in model.trainable_variables]
    assign(lambda name, i: kept[name][i])
    return momentum


def recurrent(class_name):
    options = {
        "activation": "tanh",
        "inner_activation": "hard_sigmoid",
        "return_sequences": True,
        "consume_less": "cpu",
    }
    first = dict(name="rnn", output_dim=3, init="glorot_uniform", batch_input_shape=[None, 5, 4], **options)
    inner = {"class_name": class_name, "config": dict(name="b", output_dim=2, input_dim=3, **options)}
    both = {"name": "both", "layer": inner, "merge_mode": "concat"}
    L = tf_keras.layers
    make = getattr(L, class_name)
    more = {"recurrent_activation": "hard_sigmoid", "return_sequences": True}
    if class_name == "GRU":
        more["reset_after"] = False
    model = tf_keras.Sequential(
        [L.Input((5, 4)), make(3, name="rnn", **more), L.Bidirectional(make(2, **more), name="both"),
         L.Conv1D(2, 3, padding="same", name="conv")]
    )  # fmt: skip
    conv = {
        "name": "conv",
        "nb_filter": 2,
        "filter_length": 3,
        "border_mode": "same",
        "activation": "linear",
        "subsample_length": 1,
    }
    layers = [
        (class_name, first, gates("rnn", class_name, 4, 3)),
        ("Bidirectional", both, gates("f", class_name, 3, 2) + gates("b", class_name, 3, 2)),
        ("Convolution1D", conv, [("conv_W", normal(3, 1, 4, 2)), ("conv_b", normal(2))]),
    ]
    return layers, model, (6, 5, 4)


def images(ordering):
    shape = [None, 6, 7, 3] if ordering == "tf" else [None, 3, 6, 7]
    same = {"dim_ordering": ordering, "border_mode": "same", "activation": "linear"}
    first = dict(name="c", nb_filter=4, nb_row=3, nb_col=2, batch_input_shape=shape, subsample=[1, 1], **same)
    second = dict(name="d", nb_filter=2, nb_row=3, nb_col=3, subsample=[1, 1], **same)
    k1 = normal(3, 2, 3, 4) if ordering == "tf" else normal(4, 3, 3, 2)
    k2 = normal(3, 3, 4, 2) if ordering == "tf" else normal(2, 4, 3, 3)
    layers = [
        ("Convolution2D", first, [("c_W", k1), ("c_b", normal(4))]),
        ("Convolution2D", second, [("d_W", k2), ("d_b", normal(2))]),
    ]
    L = tf_keras.layers
    more = {"padding": "same", "data_format": "channels_last" if ordering == "tf" else "channels_first"}
    model = tf_keras.Sequential(
        [L.Input(shape[1:]), L.Conv2D(4, (3, 2), name="c", **more), L.Conv2D(2, 3, name="d", **more)]
    )
    return layers, model, (5, *shape[1:])


def in_channels_last(model, x, y):
    """TensorFlow's convolutions on the CPU know no channels_first: the same model in the other layout."""
    L = tf_keras.layers
    shape = model.input_shape[1:]
    turned = tf_keras.Sequential(
        [L.Input((*shape[1:], shape[0])), L.Conv2D(4, (3, 2), padding="same"), L.Conv2D(2, 3, padding="same")]
    )
    turned.set_weights(model.get_weights())
    return turned, np.moveaxis(x, 1, -1), np.moveaxis(y, 1, -1)


def steps(model, momentum, x, y, n, rate=0.05):
    """SGD with momentum as Keras 1 writes it: v = 0.9 v - lr g; p += v."""
    moments = list(momentum)
    for _ in range(n):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        for i, (v, g) in enumerate(
            zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True)
        ):
            moments[i] = 0.9 * moments[i] - rate * g.numpy()
            v.assign_add(moments[i])
    return moments


@pytest.mark.parametrize(
    "build", [lambda: recurrent("LSTM"), lambda: recurrent("GRU"), lambda: images("tf"), lambda: images("th")],
    ids=["lstm", "gru", "images-tf", "images-th"],
)  # fmt: skip
def test_keras1(build, tmp_path):
    """Outputs, three steps from the file's slots, and both read again by tf_keras from what was written."""
    layers, model, shape = build()
    path, out = tmp_path / "old.h5", tmp_path / "new.h5"
    write(path, layers)
    momentum = load_by_tf_keras(path, model)
    x = normal(*shape)
    y = normal(*model.compute_output_shape(shape))
    run = midstream.resume(str(path))
    assert run.step == 7
    with_x, xs, ys = model, x, y
    if model.layers[0].name == "c" and shape[1] == 3:
        with_x, xs, ys = in_channels_last(model, x, y)
    wanted = steps(with_x, momentum, xs, ys, 3)
    for _ in range(3):
        run.train_step(x, y)
    midstream.save(run, str(out))
    again = tf_keras.models.clone_model(model)
    kept = load_by_tf_keras(out, again)
    for ours, theirs in zip(again.get_weights(), with_x.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)
    for ours, theirs in zip(kept, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def test_new_slots_are_sorted_by_name(tmp_path):
    """A file without slots gets them in the order in which Keras 1 reads them."""
    layers, _, shape = recurrent("LSTM")
    path, out = tmp_path / "old.h5", tmp_path / "new.h5"
    write(path, layers, slots=False)
    run = midstream.resume(str(path))
    x = normal(*shape)
    run.train_step(x, normal(6, 5, 2))
    midstream.save(run, str(out))
    with h5py.File(out) as f:
        names = list(f["optimizer_weights"].attrs["weight_names"])[1:]
        weights = sorted(
            n.decode() if isinstance(n, bytes) else n
            for g in f["model_weights"].values()
            for n in g.attrs["weight_names"]
        )
        shapes = {k.split("/")[-1]: v.shape for g in f["model_weights"].values() for k, v in g.items()}
        assert [f["optimizer_weights"][n].shape for n in names] == [shapes[w] for w in weights]
    assert midstream.resume(str(out)).step == 1


@pytest.mark.parametrize("version", ["1.2.2", "2.1.3"])
def test_kernels_of_theano(version, tmp_path):
    """Theano's convolution turns its kernel; what is trained and written back stays turned."""
    from scipy.signal import convolve

    kernel = normal(4, 3, 3, 3) if version == "1.2.2" else normal(3, 3, 3, 4)
    config = {"name": "c", "batch_input_shape": [None, 3, 6, 7], "activation": "linear", "use_bias": True}
    if version == "1.2.2":
        config |= {
            "nb_filter": 4,
            "nb_row": 3,
            "nb_col": 3,
            "dim_ordering": "th",
            "border_mode": "valid",
            "subsample": [1, 1],
        }
        del config["use_bias"]
    else:
        config |= {
            "filters": 4,
            "kernel_size": [3, 3],
            "data_format": "channels_first",
            "padding": "valid",
            "strides": [1, 1],
        }
    path = tmp_path / "theano.h5"
    write(path, [("Convolution2D" if version == "1.2.2" else "Conv2D", config, [("c_W", kernel), ("c_b", normal(4))])],
          backend="theano", version=version)  # fmt: skip
    oihw = kernel if version == "1.2.2" else kernel.transpose(3, 2, 0, 1)
    with h5py.File(path) as f:
        bias = np.array(f["model_weights/c/c_b"])
    x = normal(2, 3, 6, 7)
    wanted = np.stack(
        [[sum(convolve(x[n, i], oihw[o, i], "valid") for i in range(3)) + bias[o] for o in range(4)] for n in range(2)]
    )
    run = midstream.resume(str(path))
    np.testing.assert_allclose(run.predict(x), wanted, rtol=0, atol=2e-6)
    midstream.save(run, str(tmp_path / "same.h5"))
    with h5py.File(tmp_path / "same.h5") as f:
        np.testing.assert_array_equal(np.array(f["model_weights/c/c_W"]), kernel)


def test_layers_that_are_gone(tmp_path):
    """Highway, MaxoutDense and TimeDistributedDense: the outputs, a step, and the arrays that are written back."""
    step, dense = (
        {"activation": "relu", "init": "uniform", "bias": True},
        ("t_W", "t_b", "h_W", "h_W_carry", "h_b", "h_b_carry", "m_W", "m_b"),
    )
    shapes = [(3, 4), (4,), (8, 8), (8, 8), (8,), (8,), (3, 8, 2), (3, 2)]
    arrays = list(zip(dense, (normal(*s) for s in shapes), strict=True))
    layers = [
        (
            "TimeDistributedDense",
            dict(name="t", output_dim=4, input_dim=3, input_length=2, batch_input_shape=[None, 2, 3], **step),
            arrays[:2],
        ),
        ("Flatten", {"name": "f"}, []),
        ("Highway", dict(name="h", transform_bias=-2, input_dim=8, **(step | {"activation": "tanh"})), arrays[2:6]),
        (
            "MaxoutDense",
            {"name": "m", "output_dim": 2, "nb_feature": 3, "init": "uniform", "bias": True, "input_dim": None},
            arrays[6:],
        ),
    ]
    path, out = tmp_path / "old.h5", tmp_path / "new.h5"
    write(path, layers, slots=False)
    variables = [tf.Variable(a) for _, a in arrays]

    def model(x):
        t_w, t_b, w, carry, b, b_carry, m_w, m_b = variables
        h = tf.reshape(tf.nn.relu(x @ t_w + t_b), (-1, 8))
        gate = tf.sigmoid(h @ carry + b_carry)
        h = gate * tf.tanh(h @ w + b) + (1 - gate) * h
        return tf.reduce_max(tf.einsum("ni,kio->nko", h, m_w) + m_b, axis=1)

    x, y = normal(5, 2, 3), normal(5, 2)
    run = midstream.resume(str(path))
    np.testing.assert_allclose(run.predict(x), model(x), rtol=0, atol=2e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    for v, g in zip(variables, tape.gradient(loss, variables), strict=True):
        v.assign_sub(0.05 * g)
    run.train_step(x, y)
    midstream.save(run, str(out))
    with h5py.File(out) as f:
        for (name, _), v in zip(arrays, variables, strict=True):
            np.testing.assert_allclose(f["model_weights"][name[0]][name], v.numpy(), rtol=0, atol=2e-6)


def test_merge(tmp_path):
    """Keras 1's Merge is one class with a mode."""
    modes = [
        ("sum", {}),
        ("mul", {}),
        ("ave", {}),
        ("max", {}),
        ("concat", {"concat_axis": 1}),
        ("dot", {"dot_axes": [2, 2]}),
    ]
    common = {
        "mode_type": "raw",
        "concat_axis": -1,
        "dot_axes": -1,
        "output_shape": None,
        "output_shape_type": "raw",
        "output_mask": None,
        "output_mask_type": "raw",
        "arguments": {},
    }
    both = [[["a", 0, 0], ["b", 0, 0]]]
    layers = [
        {
            "class_name": "InputLayer",
            "name": n,
            "inbound_nodes": [],
            "config": {"name": n, "batch_input_shape": [None, 2, 3], "input_dtype": "float32", "sparse": False},
        }
        for n in "ab"
    ]
    layers += [
        {"class_name": "Merge", "name": m, "inbound_nodes": both, "config": common | {"name": m, "mode": m} | more}
        for m, more in modes
    ]
    config = {
        "name": "model",
        "layers": layers,
        "input_layers": [["a", 0, 0], ["b", 0, 0]],
        "output_layers": [[m, 0, 0] for m, _ in modes],
    }
    path = tmp_path / "merge.h5"
    with h5py.File(path, "w") as f:
        f.attrs["keras_version"] = b"1.2.2"
        f.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config}).encode()
        group = f.create_group("model_weights")
        group.attrs["layer_names"] = [layer["name"].encode() for layer in layers]
        for layer in layers:
            f.create_group(f"model_weights/{layer['name']}").attrs.create("weight_names", [], dtype="S1")
    a, b = normal(4, 2, 3), normal(4, 2, 3)
    wanted = [a + b, a * b, (a + b) / 2, np.maximum(a, b), np.concatenate([a, b], 1), a @ b.transpose(0, 2, 1)]
    ours = midstream.load(str(path))(*map(torch.from_numpy, (a, b)))
    for mine, theirs in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=0, atol=2e-6)
