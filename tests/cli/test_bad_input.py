"""Bad input: one clear line that names the file, exit code 1, and the user's files as they were."""

from __future__ import annotations

import functools
import io
import json
import pathlib
import resource
import signal
import tempfile
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from helpers.oracle import keras, tf_keras


def classifier(k):
    k.utils.set_random_seed(1)
    model = k.Sequential([k.Input((6,)), k.layers.Dense(5, "tanh", name="hidden"), k.layers.Dense(3, name="scores")])
    model.compile("adam", k.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.normal(size=(12, 6)).astype("float32"), y=rng.integers(0, 3, 12))
    return path


@pytest.fixture
def refused(midstream, tmp_path):
    """refused(arguments..., words=[...]): the command ends with exit code 1 and one message that holds the words, and
    leaves every file of the directory as it was."""

    def run(*arguments, words, trained=False, **more):
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        done = midstream(*arguments, code=1, **more)
        after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        assert after == before
        assert trained or done.stdout == ""
        assert done.stderr.startswith("midstream: ")
        assert done.stderr.count("\n") <= 2, done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        return done.stderr

    return run


def train(model, data, output):
    return "train", model, "--data", data, "--epochs", 1, "-o", output


@functools.cache
def bytes_of(suffix, module) -> bytes:
    model = classifier(module)
    model.fit(np.zeros((4, 6)), np.zeros(4), verbose=0)
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = pathlib.Path(directory) / f"model{suffix}"
        model.save(path)
        return path.read_bytes()


def saved(tmp_path, suffix=".keras", module=keras):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(bytes_of(suffix, module))
    return path


def with_members(path, **changes):
    """The .keras file with members replaced (underscore for the dot), or left out (None)."""
    with zipfile.ZipFile(path) as z:
        members = {name: z.read(name) for name in z.namelist()}
    for name, content in changes.items():
        member = {"config_json": "config.json", "metadata_json": "metadata.json", "weights": "model.weights.h5"}[name]
        members[member] = content
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members.items():
            if content is not None:
                z.writestr(name, content)
    return path


def config_of(path):
    with zipfile.ZipFile(path) as z:
        return json.loads(z.read("config.json"))


def weights_of(path):
    with zipfile.ZipFile(path) as z:
        return io.BytesIO(z.read("model.weights.h5"))


@pytest.mark.parametrize("command", ["inspect", "predict", "convert", "train"])
def test_a_file_that_is_not_there(refused, data, tmp_path, command):
    more = {
        "inspect": (),
        "predict": ("--data", data, "-o", "y.npz"),
        "convert": ("-o", "package"),
        "train": ("--data", data, "-o", "out.keras"),
    }[command]
    refused(command, tmp_path / "nothing.keras", *more, words=["nothing.keras"])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_truncated(refused, data, tmp_path, suffix, part):
    path = saved(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused(*train(path, data, f"out{suffix}"), words=[path.name])


def test_other_bytes(refused, data, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(*train(path, data, "out.keras"), words=["model.keras"])


def test_a_changed_byte_in_a_zip_member_is_found(refused, tmp_path):
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b'"class_name"') + 3] ^= 1
    path.write_bytes(content)
    refused("inspect", path, words=["model.keras", "config.json"])


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"null", b'{"class_name": 3}', b"\xff\xfe", b'{"class_name": "Sequential"}']
)
def test_broken_json(refused, data, tmp_path, content):
    path = with_members(saved(tmp_path), config_json=content)
    refused(*train(path, data, "out.keras"), words=["model.keras"])


def test_no_weights_in_the_file(refused, data, tmp_path):
    path = with_members(saved(tmp_path), weights=None)
    refused(*train(path, data, "out.keras"), words=["model.keras", "model.weights.h5"])


@keras.saving.register_keras_serializable("shop")
class Marvel(keras.layers.Dense):
    pass


@keras.saving.register_keras_serializable("shop")
class Wonder(keras.layers.Layer):
    def call(self, x):
        return x + 1


def test_unknown_layers_all_in_one_report(midstream, data, tmp_path):
    model = keras.Sequential(
        [keras.Input((6,)), Marvel(4, name="first"), Wonder(name="second"), Marvel(3, name="third")]
    )
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    done = midstream(*train(tmp_path / "model.keras", data, "out.keras"), code=1)
    assert done.stdout == ""
    for word in ("model.keras", "shop>Marvel", "shop>Wonder", "first, third", "second"):
        assert word in done.stderr, done.stderr
    assert not (tmp_path / "out.keras").exists()


def edit_weights(path, change):
    file = weights_of(path)
    with h5py.File(file, "r+") as f:
        change(f)
    return with_members(path, weights=file.getvalue())


def test_a_weight_of_another_shape(refused, data, tmp_path):
    def change(f):
        del f["layers/dense/vars/0"]
        f["layers/dense/vars/0"] = np.zeros((7, 5), "float32")

    path = edit_weights(saved(tmp_path), change)
    refused(*train(path, data, "out.keras"), words=["model.keras", "hidden", "kernel", "[7, 5]", "[6, 5]"])


def test_a_weight_of_another_dtype(refused, data, tmp_path):
    def change(f):
        del f["layers/dense/vars/0"]
        f["layers/dense/vars/0"] = np.array([["a"] * 5] * 6, dtype=h5py.string_dtype())

    path = edit_weights(saved(tmp_path), change)
    refused(*train(path, data, "out.keras"), words=["model.keras", "hidden", "layers/dense/vars/0"])


def test_a_missing_weight(refused, data, tmp_path):
    def change(f):
        del f["layers/dense_1/vars/1"]

    path = edit_weights(saved(tmp_path), change)
    refused(*train(path, data, "out.keras"), words=["model.keras", "scores/bias"])


def test_a_missing_weight_of_keras2(refused, data, tmp_path):
    path = saved(tmp_path, ".h5", tf_keras)
    with h5py.File(path, "r+") as f:
        group = f["model_weights/scores"]
        del group[next(name for name in group.attrs["weight_names"] if "bias" in str(name))]
    refused(*train(path, data, "out.h5"), words=["model.h5", "scores"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["x"].__setitem__((3, 2), np.nan), ["NaN", "3"]),
        (lambda d: d["y"].__setitem__(5, 3), ["label", "3", "sample 5"]),
        (lambda d: d["y"].__setitem__(5, -1), ["label", "-1", "sample 5"]),
        (lambda d: d.update(x=d["x"][:, :5]), ["5]", "6]"]),
        (lambda d: d.update(y=d["y"][:10]), ["10", "12"]),
        (lambda d: d.update({"x:other": d.pop("x")}), ["other"]),
        (lambda d: d.pop("y"), ["y"]),
        (lambda d: d.update(x=d["x"].astype(str)), ["x"]),
        (lambda d: d.update(x=d["x"][:0], y=d["y"][:0]), ["0"]),
    ],
    ids=["nan", "label", "negative label", "width", "length", "name", "no y", "strings", "empty"],
)
def test_data_that_do_not_fit(refused, data, tmp_path, change, words):
    path = saved(tmp_path)
    arrays = dict(np.load(data))
    change(arrays)
    np.savez(data, **arrays)
    refused(*train(path, data, "out.keras"), words=["data.npz", *words])


def test_a_truncated_data_file(refused, data, tmp_path):
    path = saved(tmp_path)
    data.write_bytes(data.read_bytes()[:300])
    refused(*train(path, data, "out.keras"), words=["data.npz"])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_full_disk_while_saving(refused, data, tmp_path, suffix):
    """No file may grow beyond 4 KiB: what write() then says is what a full disk says."""
    path = saved(tmp_path, suffix)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    output = tmp_path / path.name  # over the source itself
    refused(*train(path, data, output), words=[path.name], trained=True, preexec_fn=limit)


@pytest.mark.parametrize("output", ["missing/out.keras", "out.h5", "out.zip"])
def test_where_it_cannot_be_saved_is_said_before_training(midstream, data, tmp_path, output):
    path = saved(tmp_path)
    done = midstream("train", path, "--data", data, "--epochs", 100000, "-o", tmp_path / output, code=None, timeout=60)
    assert done.returncode in (1, 2)
    assert output.split("/")[0] in done.stderr
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("inspect", "data.npz"), "[data.npz] is an archive of arrays, which midstream does not open as a model"),
        (("convert", "m.onnx", "-o", "out"), "[m.onnx] is an ONNX model"),
        (("train", "m.safetensors", "--data", "data.npz", "-o", "n.keras"), "is a file of tensors"),
    ],
)
def test_other_kinds_of_files_are_named(midstream, tmp_path, arguments, message):
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    for name in ("m.onnx", "m.safetensors"):
        (tmp_path / name).write_bytes(b"not looked into")
    done = midstream(*arguments, code=1)
    assert message in done.stderr and done.stderr.startswith("midstream: ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("train", "m.keras", "--data", "d.npz", "-o", "n.keras", "--steps", "0"), "a whole number from 1 on wanted"),
        (("inspect",), "FILE is required"),
        (("inspect", "m.keras", "--what"), "not expected: --what"),
        (("fly",), "midstream: "),
    ],
)
def test_wrong_usage_is_one_line(midstream, arguments, message):
    done = midstream(*arguments, code=2)
    assert done.stderr.startswith("midstream: ") and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_device_that_is_not_there(midstream, root, tmp_path):
    digits = root / "examples" / "digits"
    for device, message in (("cuda", "there is no cuda here"), ("gpu", "'gpu' is none that PyTorch knows")):
        arguments = ("train", digits / "digits.keras", "--data", digits / "train.npz", "-o", tmp_path / "n.keras")
        if device == "cuda" and torch.cuda.is_available():
            continue
        done = midstream(*arguments, "--device", device, code=2)
        assert message in done.stderr
    assert not (tmp_path / "n.keras").exists()
