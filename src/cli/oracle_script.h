// What `midstream verify --oracle PYTHON` hands to a Python that has TensorFlow: it loads the file with the Keras that
// wrote it, runs it on given or random inputs in inference and training mode, differentiates the sum of (output *
// cotangent) with respect to every trainable variable, and writes all of it as .npz (a trace that --reference reads
// too).
#pragma once

namespace midstream::cli {

inline constexpr const char* kOracleScript = R"PY(
import os, sys
# With -c Python looks for modules in the working directory first: a numpy.py that lies beside a model is not numpy.
sys.path[:] = [place for place in sys.path if place]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"
import numpy as np
import tensorflow as tf
path, out, data, trust = sys.argv[1:5]
safe = trust != "trust"

def load():
    # The scope as well: for .h5 files the argument alone does not stop a Lambda's code in every version.
    import keras
    from keras.src.saving import serialization_lib as keras3_scope
    try:
        with keras3_scope.SafeModeScope(safe):
            return keras.models.load_model(path, safe_mode=safe)
    except Exception as first:
        try:
            import tf_keras
            from tf_keras.src.saving import serialization_lib as keras2_scope
            with keras2_scope.SafeModeScope(safe):
                return tf_keras.models.load_model(path, safe_mode=safe)
        except Exception:
            raise first

model = load()
rng = np.random.default_rng(0)
given = dict(np.load(data)) if data != "-" else {}
inputs = []
for t in model.inputs:
    name = t.name.split(":")[0]
    if "x:" + name in given:
        x = given["x:" + name]
    elif "x" in given and len(model.inputs) == 1:
        x = given["x"]
    else:
        shape = [2 if i == 0 and d is None else 8 if d is None else int(d) for i, d in enumerate(t.shape)]
        dtype = tf.as_dtype(t.dtype)
        x = rng.normal(size=shape) if dtype.is_floating else rng.integers(0, 2, size=shape)
    inputs.append(tf.cast(x, t.dtype))
trace = {"x%d" % i: x.numpy() for i, x in enumerate(inputs)}
values = [getattr(v, "value", v) for v in model.trainable_variables]
values = [v() if callable(v) else v for v in values]
fed = inputs[0] if len(inputs) == 1 else inputs
if isinstance(getattr(model, "_inputs_struct", None), dict):
    fed = dict(zip(sorted(model._inputs_struct), inputs))
for mode in (0, 1):
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(model(fed, training=bool(mode)))
        cotangents = [tf.constant(rng.normal(size=y.shape), y.dtype) for y in outputs]
        total = tf.add_n([tf.reduce_sum(y * c) for y, c in zip(outputs, cotangents)])
    grads = tape.gradient(total, values)
    for i, (y, c) in enumerate(zip(outputs, cotangents)):
        trace["m%d:y%d" % (mode, i)] = y.numpy()
        trace["m%d:c%d" % (mode, i)] = c.numpy()
    for i, (g, v) in enumerate(zip(grads, values)):
        g = tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
        trace["m%d:g%d" % (mode, i)] = g.numpy()
np.savez(out, **trace)
)PY";

}  // namespace midstream::cli
