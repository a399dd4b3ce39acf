"""Makes tests/data/formats/: one small file per format, written by the library that owns it, and expected.json with
what that library reads back. Needs TensorFlow, tf_keras, Keras, h5py, safetensors: run it only to change the data.

    python tests/data/make_formats.py
"""

import io
import json
import os
import pathlib
import shutil
import tempfile
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import h5py
import keras
import ml_dtypes
import numpy as np
import safetensors.numpy
import tensorflow as tf
import tf_keras

OUT = pathlib.Path(__file__).parent / "formats"
expected = {}


def describe(array):
    """An array as JSON: dtype, shape, flat values (complex numbers as pairs)."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        flat = [x.decode() if isinstance(x, bytes) else str(x) for x in array.reshape(-1)]
        return {"dtype": "string", "shape": list(array.shape), "values": flat}
    array = array.astype(array.dtype.newbyteorder("="))
    name = str(array.dtype)
    flat = array.reshape(-1)
    if array.dtype.kind == "c":
        flat = flat.view(np.float32 if array.dtype.itemsize == 8 else np.float64)
    if name in ("int64", "uint64"):
        values = [int(x) for x in flat]
    else:
        values = [float(x) for x in flat]
    return {"dtype": name, "shape": list(array.shape), "values": values}


def arrays():
    """One array per dtype; 2 x 3 so that order matters."""
    rng = np.random.default_rng(1)
    out = {}
    for name in ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]:
        out[name] = rng.integers(0, 2 if name == "bool" else 100, (2, 3)).astype(name)
    for name in ["float16", "float32", "float64", "complex64", "complex128"]:
        value = rng.standard_normal((2, 3))
        out[name] = (value + 1j * value[::-1] if "complex" in name else value).astype(name)
    out["bfloat16"] = rng.standard_normal((2, 3)).astype(ml_dtypes.bfloat16)
    out["scalar"] = np.float32(1.25)
    out["empty"] = np.zeros((0, 4), "float32")
    return out


def make_zip():
    with zipfile.ZipFile(OUT / "plain.zip", "w") as z:
        z.writestr("stored.txt", "hello stored")
        z.writestr("deflated.txt", "hello " * 500, compress_type=zipfile.ZIP_DEFLATED)
        z.writestr("folder/ünicode.bin", bytes(range(256)))
        with z.open("forced64.bin", "w", force_zip64=True) as f:
            f.write(b"0123456789")
        z.writestr("empty", b"")

    class NoSeek(io.RawIOBase):  # makes zipfile write data descriptors
        def __init__(self, file):
            self.file = file

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

    with (OUT / "streamed.zip").open("wb") as f, zipfile.ZipFile(NoSeek(f), "w") as z:
        z.writestr("a.txt", "streamed a")
        z.writestr("b.txt", "streamed b" * 100, compress_type=zipfile.ZIP_DEFLATED)


def make_hdf5():
    exp = {}
    with h5py.File(OUT / "types.h5", "w") as f:
        for name, value in arrays().items():
            f.create_dataset("types/" + name, data=value)
            exp["/types/" + name] = describe(value)
        f["types/bfloat16"].attrs["dtype"] = "bfloat16"
        value = np.arange(24, dtype="float32").reshape(4, 6)
        for name, options in {
            "chunked": {"chunks": (2, 3)},
            "gzip": {"chunks": (2, 6), "compression": "gzip", "shuffle": True, "fletcher32": True},
            "big_endian": {"dtype": ">f4"},
            "big_endian_int": {"dtype": ">i2"},
        }.items():
            f.create_dataset("layouts/" + name, data=value, **options)
            exp["/layouts/" + name] = describe(value.astype("int16") if "int" in name else value)
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4, 6))
        h5py.h5d.create(f["layouts"].id, b"compact", h5py.h5t.IEEE_F32LE, space, compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, value
        )
        exp["/layouts/compact"] = describe(value)
        f.create_dataset("layouts/never_written", (3,), "float32", fillvalue=7)
        exp["/layouts/never_written"] = describe(np.full(3, 7, "float32"))
        f.create_dataset("strings/vlen", data=np.array(["a", "", "ü€"], dtype=object), dtype=h5py.string_dtype())
        exp["/strings/vlen"] = describe(np.array(["a", "", "ü€"], dtype=object))
        f.create_dataset("strings/fixed", data=np.array([b"abc", b"d"]))
        exp["/strings/fixed"] = describe(np.array(["abc", "d"]))
        g = f.create_group("attributes")
        g.attrs["text"] = "ünicode"
        g.attrs["fixed"] = np.bytes_("bytes")
        g.attrs["names"] = [b"kernel:0", b"bias:0"]
        g.attrs["none"] = []
        g.attrs["unicode_names"] = ["α", "βγ"]
        g.attrs["int"] = 42
        g.attrs["float"] = 1.5
        g.attrs["flag"] = True
        g.attrs["null"] = h5py.Empty("f")
        g.attrs["long0"], g.attrs["long1"] = [b"a", b"b"], [b"c"]
        created = f.create_group("created", track_order=True)
        for name in "zay":
            created.create_group(name)
        f["loop/self"] = f["attributes"]
        f["attributes/up"] = h5py.SoftLink("/types")
        f["attributes/elsewhere"] = h5py.ExternalLink("other.h5", "/x")
        f.create_dataset("compound", data=np.zeros(2, [("x", "i4"), ("y", "f8")]))
    expected["types.h5"] = exp


def make_keras():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
    model.save(OUT / "model.keras")
    exp = {}
    with zipfile.ZipFile(OUT / "model.keras") as z, h5py.File(io.BytesIO(z.read("model.weights.h5"))) as f:
        f.visititems(lambda name, x: exp.update({"/" + name: describe(x[()])}) if isinstance(x, h5py.Dataset) else None)
    expected["model.keras"] = exp


def make_numpy():
    exp = {}
    members = dict(arrays())
    members["fortran"] = np.asfortranarray(np.arange(24, dtype="int32").reshape(2, 3, 4))
    members["big_endian"] = np.arange(3, dtype=">f8")
    members["big_endian_complex"] = np.array([1 + 2j, 3], ">c16")
    members["unicode"] = np.array([["a", "bü€"], ["", "𝄞"]])
    members["big_endian_unicode"] = np.array(["xy", "z"]).astype(">U2")
    members["bytes"] = np.array([b"abc", b"d"])
    np.savez(OUT / "stored.npz", **members)
    np.savez_compressed(OUT / "compressed.npz", x=members["float32"], y=members["int64"])
    for name, value in members.items():
        exp[name] = describe(value)
    expected["stored.npz"] = exp
    np.save(OUT / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def make_safetensors():
    members = {k: v for k, v in arrays().items() if not k.startswith("complex128")}
    members["scalar"] = np.array(members["scalar"])
    safetensors.numpy.save_file(members, OUT / "types.safetensors", metadata={"format": "np", "made": "by safetensors"})
    expected["types.safetensors"] = {k: describe(v) for k, v in members.items()}


def make_graphdef():
    exp = {}
    graph = tf.Graph()
    with graph.as_default():
        for name, value in arrays().items():
            exp[name] = describe(value)
            tf.constant(value, name=name)
            if value.size:
                tf.constant(np.full((2, 2), value.reshape(-1)[0]), name="same_" + name)
                exp["same_" + name] = describe(np.full((2, 2), value.reshape(-1)[0]))
        tf.constant([["a", "ü"], ["", "b"]], name="strings")
        exp["strings"] = describe(np.array([["a", "ü"], ["", "b"]]))
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 1], name="x")
        with tf.device("/cpu:0"):
            y = tf.nn.conv2d(x, tf.ones([3, 3, 1, 2]), [1, 2, 2, 1], "SAME", name="conv")
        with tf.control_dependencies([y]):
            tf.identity(y, name="after")
    proto = graph.as_graph_def(add_shapes=True)
    for node in proto.node:
        # One of each again as the *_val fields hold it: TensorFlow itself prefers tensor_content.
        if node.op == "Const" and node.name in (
            "float32",
            "float16",
            "bfloat16",
            "int8",
            "complex64",
            "bool",
            "uint64",
        ):
            tensor = node.attr["value"].tensor
            value = tf.make_ndarray(tensor)
            copy = proto.node.add(name="val_" + node.name, op="Const")
            copy.attr["dtype"].type = tensor.dtype
            t = copy.attr["value"].tensor
            t.dtype = tensor.dtype
            t.tensor_shape.CopyFrom(tensor.tensor_shape)
            flat = value.reshape(-1)[:4]  # two short: the last value is repeated
            if node.name == "float32":
                t.float_val.extend(flat.tolist())
            elif node.name in ("float16", "bfloat16"):
                t.half_val.extend(flat.view(np.uint16).tolist())
            elif node.name == "int8":
                t.int_val.extend((-flat).tolist())
            elif node.name == "complex64":
                t.scomplex_val.extend(flat.view(np.float32).tolist())
            elif node.name == "bool":
                t.bool_val.extend(flat.tolist())
            else:
                t.uint64_val.extend(flat.tolist())
            exp["val_" + node.name] = describe(tf.make_ndarray(t))
    (OUT / "graph.pb").write_bytes(proto.SerializeToString())
    expected["graph.pb"] = exp


def make_saved_model():
    class Model(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(np.arange(6, dtype="float32").reshape(3, 2), name="kernel")
            self.steps = tf.Variable(7, dtype=tf.int64, trainable=False, name="steps")
            self.names = ["first", "second"]

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def __call__(self, x):
            return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: x @ self.kernel, lambda: tf.zeros([tf.shape(x)[0], 2]))}

    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, signatures=model.__call__.get_concrete_function())
        shutil.rmtree(OUT / "saved_model", ignore_errors=True)
        shutil.copytree(folder, OUT / "saved_model", ignore=shutil.ignore_patterns("assets", "fingerprint.pb"))

    tf_keras.utils.set_random_seed(3)
    inner = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,), name="dense")], name="tiny")
    with tempfile.TemporaryDirectory() as folder:
        inner.save(folder, save_format="tf")
        shutil.copy(pathlib.Path(folder) / "keras_metadata.pb", OUT / "keras_metadata.pb")


def make_checkpoints():
    folder = OUT / "checkpoints"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    exp = {}
    # Object-based, with an optimizer's slots, several shards' worth of keys.
    kernel = tf.Variable(np.arange(6, dtype="float32").reshape(3, 2), name="kernel")
    optimizer = tf_keras.optimizers.legacy.Adam()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(kernel**2)
    optimizer.apply_gradients([(tape.gradient(loss, kernel), kernel)])
    tf.train.Checkpoint(kernel=kernel, optimizer=optimizer).write(str(folder / "objects"))
    # Name-based, partitioned, with strings; as V2 and as V1.
    with tf.Graph().as_default():
        tf.compat.v1.disable_resource_variables()
        for i, value in enumerate([np.array(["a", "", "long" * 50]), np.array(["ü"])]):
            tf.compat.v1.get_variable(f"text{i}", initializer=value.tolist())
        for name, value in arrays().items():
            if name not in ("empty", "bool", "uint16", "uint32", "uint64", "complex128", "bfloat16"):
                tf.compat.v1.get_variable(name, initializer=value)
        tf.compat.v1.get_variable(
            "parts",
            [7, 3],
            initializer=tf.compat.v1.random_uniform_initializer(seed=1),
            partitioner=tf.compat.v1.fixed_size_partitioner(3),
        )
        tf.compat.v1.get_variable(
            "columns",
            [2, 200],
            initializer=tf.compat.v1.random_uniform_initializer(seed=2),
            partitioner=tf.compat.v1.fixed_size_partitioner(2, axis=1),
        )
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver().save(session, str(folder / "named"), write_state=False)
            tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1).save(
                session, str(folder / "v1.ckpt"), write_state=False, write_meta_graph=False
            )
            (folder / "named.meta").unlink()
    with tf.Graph().as_default():
        w = tf.compat.v1.get_variable("layer/w", [2, 2])
        tf.compat.v1.get_variable("layer/frozen", [2], trainable=False)
        tf.compat.v1.train.export_meta_graph(str(folder / "graph.meta"), saver_def=tf.compat.v1.train.Saver().saver_def)
        del w
    for name in ("objects", "named"):
        reader = tf.train.load_checkpoint(str(folder / name))
        exp[name] = {
            key: describe(reader.get_tensor(key))
            for key in reader.get_variable_to_shape_map()
            if key != "_CHECKPOINTABLE_OBJECT_GRAPH"
        }
    exp["v1.ckpt"] = exp["named"]  # the same session; TensorFlow's own V1 reader in Python knows fewer types
    expected["checkpoints"] = exp


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    make_zip()
    make_hdf5()
    make_keras()
    make_numpy()
    make_safetensors()
    make_graphdef()
    make_saved_model()
    make_checkpoints()
    (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, sort_keys=True) + "\n")
    for path in sorted(OUT.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:7} {path.relative_to(OUT)}")


if __name__ == "__main__":
    main()
