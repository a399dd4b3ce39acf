"""No text of a file becomes code: every string of a model is replaced by hostile ones, and what midstream prints of it
is Python that does nothing but define the model."""

import ast
import json
import os
import re
import subprocess
import zipfile

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import keras, tf, tf_keras

CANARY = "MIDSTREAM_CANARY"
RUN = f"__import__('os').environ.__setitem__('{CANARY}', 'ran')"
HOSTILE = [
    f'a"""\n{RUN}\n"""',
    f"a'''\n{RUN}\n'''",
    f'a"; {RUN}; "',
    f"a\n{RUN}\n#",
    f"a\r{RUN}\r#",
    f"a\u2028{RUN}\u2028#",
    f"a\x0c\n{RUN}\n",
    "a\\",
    "a\\N{NO SUCH NAME}\\x\\u12",
    "{0} {name} %s %(x)d {",
    "\x1b[2J\x1b]0;title\x07a",
    "\u202ea",
    "../../a",
    "a`b$(touch canary)",
    "True",
    "Path",
    "torch",
    "super",
    "",
]


def strings(value, path=()):
    """Every string of a JSON document, keys left out."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from strings(v, (*path, k))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from strings(v, (*path, i))


def at(value, path):
    for p in path:
        value = value[p]
    return value


def replaced(document, text, new):
    """The document with every string `text` replaced, so that names keep fitting one another."""
    if isinstance(document, str):
        return new if document == text else document
    if isinstance(document, dict):
        return {k: replaced(v, text, new) for k, v in document.items()}
    if isinstance(document, list):
        return [replaced(v, text, new) for v in document]
    return document


def nested(k):
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(4, "relu", name="inside")], name="inner")
    x = k.Input((4,), name="first")
    h = k.layers.Dropout(0.5, name="drop")(inner(x))
    model = k.Model(x, [k.layers.Dense(2, name="a")(h), k.layers.Dense(3, name="b")(h)], name="outer")
    model.compile("adam", ["mse", "mae"])
    return model


def harmless(path):
    """Opens the file in every way that shows its strings. A refusal is fine, code that runs is not."""
    try:
        model = midstream.load(path)
    except midstream.Error:
        pass
    else:
        model(torch.zeros(1, 4))
    assert CANARY not in os.environ


def keras_document(path):
    with zipfile.ZipFile(path) as z:
        return json.loads(z.read("config.json")), {n: z.read(n) for n in z.namelist()}


def write_document(path, document, members):
    with zipfile.ZipFile(path, "w") as z:
        for name, data in members.items():
            z.writestr(name, json.dumps(document) if name == "config.json" else data)


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_every_string_of_a_keras_file(module, tmp_path):
    nested(module).save(tmp_path / "m.keras")
    document, members = keras_document(tmp_path / "m.keras")
    texts = sorted({at(document, p) for p in strings(document)})
    assert {"outer", "inner", "inside", "a", "mse"} <= set(texts)
    opened = 0
    for text in texts:
        for new in HOSTILE:
            path = tmp_path / "hostile.keras"
            write_document(path, replaced(document, text, new), members)
            harmless(path)
            opened += 1
    assert opened == len(texts) * len(HOSTILE)


@pytest.mark.parametrize("new", HOSTILE[:12], ids=range(12))
def test_the_name_of_the_file(new, tmp_path):
    nested(keras).save(tmp_path / "m.keras")
    path = tmp_path / (new.replace("/", "_").replace("\x00", "") + ".keras")
    (tmp_path / "m.keras").rename(path)
    harmless(path)


def test_nodes_of_a_frozen_graph(tmp_path):
    """TensorFlow checks node names when a graph is imported, midstream when it reads one; here nobody checked."""
    w = np.ones((4, 2), np.float32)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="first")
        tf.identity(tf.nn.relu(tf.matmul(x, tf.constant(w, name="kernel")), name="middle"), name="last")
    for name in ("first", "middle", "kernel", "last"):
        for new in HOSTILE:
            changed = graph.as_graph_def()
            for node in changed.node:
                node.name = new if node.name == name else node.name
                for i, source in enumerate(node.input):
                    node.input[i] = new if source == name else source
            path = tmp_path / "g.pb"
            path.write_bytes(changed.SerializeToString())
            harmless(path)


def test_signatures_of_a_saved_model(tmp_path):
    class Module(tf.Module):
        def __init__(self):
            self.w = tf.Variable(tf.ones((4, 2)), name="w")

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="first")])
        def serve(self, first):
            return {"last": tf.matmul(first, self.w)}

    module = Module()
    tf.saved_model.save(module, tmp_path / "s", signatures={"sig_name": module.serve})
    from tensorflow.core.protobuf import saved_model_pb2

    original = (tmp_path / "s" / "saved_model.pb").read_bytes()
    for name in ("sig_name", "first", "last"):
        for new in HOSTILE:
            saved = saved_model_pb2.SavedModel()
            saved.ParseFromString(original)
            signatures = saved.meta_graphs[0].signature_def
            if name == "sig_name":
                signatures[new].CopyFrom(signatures[name])
                del signatures[name]
            for signature in signatures.values():
                for entries in (signature.inputs, signature.outputs):
                    if name in entries:
                        entries[new].CopyFrom(entries[name])
                        del entries[name]
            (tmp_path / "s" / "saved_model.pb").write_bytes(saved.SerializeToString())
            harmless(tmp_path / "s")


def command_line(*words):
    program = os.environ["MIDSTREAM_BUILD"] + "/midstream"
    done = subprocess.run([program, *map(str, words)], capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("text", ["outer", "a", "mse", "MeanSquaredError", "Adam", "CosineDecay"])
def test_what_convert_writes(text, tmp_path):
    model = nested(keras)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)), ["mse", "mae"])
    model.save(tmp_path / "m.keras")
    document, members = keras_document(tmp_path / "m.keras")
    compiled = 0
    for i, new in enumerate(HOSTILE):
        path = tmp_path / f"{i}.keras"
        write_document(path, replaced(document, text, new), members)
        command_line("convert", path, "-o", tmp_path / str(i))
        for source in tmp_path.glob(f"{i}/*.py"):
            compile(source.read_bytes(), source.name, "exec")
            if source.name == "training.py":
                # Only imports, definitions and the docstring at the top level: nothing else would run on import.
                kinds = {type(node).__name__ for node in ast.parse(source.read_bytes()).body}
                assert kinds <= {"Expr", "Import", "ImportFrom", "Assign", "FunctionDef", "If"}, kinds
            compiled += 1
        readme = tmp_path / str(i) / "README.md"
        assert not readme.exists() or RUN not in readme.read_text().splitlines()
    assert compiled > 0


def test_the_version_that_a_file_names(tmp_path):
    """It stands in the docstring of model.py and in README.md, where it is no tag and no link either."""
    nested(keras).save(tmp_path / "m.keras")
    _, members = keras_document(tmp_path / "m.keras")
    written = 0
    for i, new in enumerate([*HOSTILE, "<img src=x onerror=a>[b](javascript:c)"]):
        metadata = {**json.loads(members["metadata.json"]), "keras_version": "3.12.0" + new}
        with zipfile.ZipFile(tmp_path / f"{i}.keras", "w") as z:
            for name, data in members.items():
                z.writestr(name, json.dumps(metadata) if name == "metadata.json" else data)
        command_line("convert", tmp_path / f"{i}.keras", "-o", tmp_path / str(i))
        for source in tmp_path.glob(f"{i}/*.py"):
            compile(source.read_bytes(), source.name, "exec")
            top = ast.parse(source.read_bytes()).body
            assert not any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in top)
        if (tmp_path / str(i) / "README.md").exists():
            text = (tmp_path / str(i) / "README.md").read_text()
            assert "<img" not in text and not re.search(r"(?<!\\)\[b\]", text)
            assert RUN not in text.splitlines()
            written += 1
    assert written > 0


def test_nothing_acts_on_the_terminal(tmp_path):
    nested(keras).save(tmp_path / "m.keras")
    document, members = keras_document(tmp_path / "m.keras")
    for text in ("outer", "inside", "a", "Dense", "Adam"):
        write_document(tmp_path / "t.keras", replaced(document, text, "\x1b[2J\x9b\u202e"), members)
        for command in (["inspect"], ["inspect", "--json"], ["convert", "-o", str(tmp_path / "out")]):
            out = command_line(command[0], tmp_path / "t.keras", *command[1:])
            assert not any(c in out for c in "\x1b\x9b\u202e"), out
