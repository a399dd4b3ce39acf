"""TensorFlow's functions between the layers of tf_keras models (TFOpLambda, SlicingOpLambda)."""

from __future__ import annotations

import numpy as np
import pytest
from emit.emitted import same_as_keras as same_source
from helpers.layers import same_as_keras
from helpers.oracle import tf, tf_keras

W = np.random.default_rng(5).normal(size=(3, 2))
ROW = np.array([0.5, -1.0, 2.0])

# Of x [batch, 4, 3] and i [batch, 2], integers below 4.
CALLS = {
    "arithmetic": lambda x, i: -x + x * ROW - x / tf.constant(ROW) + x / (x * x + 2.0) + ROW,
    "divisions": lambda x, i: x // 2.0 + x % 2.0 + tf.math.divide_no_nan(x, tf.floor(x)) + (-x) ** 2,
    "unary": lambda x, i: tf.math.log1p(x * x) + tf.math.expm1(x) + tf.math.rsqrt(x * x + 1.0) + tf.sign(x) + tf.round(x),
    "more_unary": lambda x, i: tf.math.erf(x) + tf.math.reciprocal(x) + tf.floor(x) + tf.math.ceil(x) + tf.math.atan(x),
    "comparisons": lambda x, i: tf.where(tf.logical_and(x > 0.0, x < 1.0) | ~(x > -1.0), x, 1.0),
    "squared_difference": lambda x, i: tf.math.squared_difference(x, 2.0) + tf.maximum(x, 0.3) + tf.minimum(x, ROW),
    "clip": lambda x, i: tf.clip_by_value(x, -1.0, 1.0) + tf.stop_gradient(x) + tf.identity(x),
    "activations": lambda x, i: tf.nn.gelu(x) + tf.nn.leaky_relu(x) + tf.nn.elu(x) + tf.nn.silu(x) + tf.nn.relu(x),
    "softmaxes": lambda x, i: tf.nn.softmax(x, axis=1) + tf.nn.log_softmax(x) + tf.sigmoid(x) + tf.math.softplus(x),
    "reductions": lambda x, i: tf.reduce_sum(x, 1) + tf.reduce_mean(x, 1) + tf.reduce_max(x, 1) + tf.reduce_prod(x, 1),
    "moments": lambda x, i: tf.math.reduce_std(x, 1) + tf.math.reduce_variance(x, 1) + tf.reduce_logsumexp(x, 1),
    "norms": lambda x, i: tf.nn.l2_normalize(x, axis=1) + tf.norm(x, axis=1, keepdims=True),
    "argmax": lambda x, i: tf.cast(tf.argmax(x, 1), "float64") + tf.cast(tf.argmin(x, axis=-2), tf.float64),
    "scans": lambda x, i: tf.cumsum(x, axis=1) + tf.cumsum(x, 1, exclusive=True, reverse=True) + tf.math.cumprod(x, 2),
    "top_k": lambda x, i: tf.math.top_k(x, 2).values,
    "sort": lambda x, i: tf.sort(x, axis=1, direction="DESCENDING"),
    "reshape_by_sizes": lambda x, i: tf.reshape(x, [tf.shape(x)[0], -1]),
    "reshape_by_more_sizes": lambda x, i: tf.reshape(x, [tf.shape(x)[0] * 2, tf.shape(x)[1] // 2, 3]),
    "zeros": lambda x, i: tf.concat([tf.zeros([tf.shape(x)[0], 1, 3], tf.float64), x], axis=1),
    "ones_and_fill": lambda x, i: tf.ones([tf.shape(x)[0], 3], tf.float64) + tf.cast(tf.fill(tf.shape(x)[:2], 2.0)[:, :1], tf.float64),
    "range": lambda x, i: x + tf.cast(tf.range(tf.shape(x)[1])[:, tf.newaxis], tf.float64),
    "range_of_rows": lambda x, i: x[:, 0] * tf.cast(tf.range(0, tf.shape(x)[0], 1), tf.float64)[:, None],
    "tile": lambda x, i: tf.tile(x, [1, tf.shape(x)[1], 1]) + tf.tile(x, [1, 4, 1]),
    "size": lambda x, i: x * tf.cast(tf.rank(x), tf.float64),
    "stack": lambda x, i: tf.stack([x, x * 2.0], 1) + tf.expand_dims(x, 1) + tf.squeeze(x[:, tf.newaxis], 1)[:, None],
    "transposes": lambda x, i: tf.transpose(x, [0, 2, 1]) + tf.linalg.matmul(x, x, transpose_a=True)[:, :, :1],
    "matmul": lambda x, i: tf.matmul(x, W) + tf.tensordot(x, x, [[1], [1]])[0, :2, 0, :2][:1] + tf.nn.bias_add(tf.matmul(x, W), ROW[:2]),
    "pad": lambda x, i: tf.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=1.0),
    "pad_reflect": lambda x, i: tf.pad(x, [[0, 0], [1, 2], [0, 1]], "REFLECT"),
    "splits": lambda x, i: tf.split(x, [1, -1], 1)[0] + tf.split(x, 2, 1)[1] + tf.unstack(x, axis=1)[2][:, None],
    "concat_constant": lambda x, i: tf.concat([x, tf.ones((1, 4, 3), tf.float64)], axis=0),
    "slices": lambda x, i: x[:, 1:2, 1:3] + x[:, -1, tf.newaxis, :2] + tf.slice(x, [0, 0, 0], [-1, 1, 2]),
    "orders": lambda x, i: tf.reverse(x, [1]) + tf.roll(x, 1, 1) + tf.repeat(x, 2, axis=1)[:, :4],
    "band": lambda x, i: tf.linalg.band_part(x, -1, 0) + tf.linalg.band_part(x, 0, 1),
    "boolean_mask": lambda x, i: tf.boolean_mask(x, [True, False, True, True], axis=1),
    "gather": lambda x, i: tf.gather(x, [0, 2], axis=1) + tf.gather(x, i, axis=1, batch_dims=1),
    "gather_rows": lambda x, i: tf.gather(x, i, axis=1),
    "gather_constant": lambda x, i: tf.cast(tf.gather(np.arange(12.0, dtype="float32").reshape(4, 3), i), tf.float64),
    "gather_nd": lambda x, i: tf.gather_nd(x, [[0, 1], [1, 2]]),
    "one_hot": lambda x, i: tf.one_hot(i, 4, dtype=tf.float64) + tf.cast(tf.one_hot(i, 4), tf.float64),
    "sequence_mask": lambda x, i: tf.cast(tf.sequence_mask(i, 3), tf.float64),
    "linalg": lambda x, i: tf.linalg.trace(x[:, :3]) + tf.linalg.det(x[:, :3]),
    "backend": lambda x, i: tf_keras.backend.mean(x, 1) + tf_keras.backend.max(tf_keras.backend.square(x), axis=1),
    "conv": lambda x, i: tf.nn.conv2d(x[:, :, :, None], np.ones((2, 2, 1, 2)) * 0.3, [1, 2, 1, 1], "SAME"),
    "pools": lambda x, i: tf.nn.max_pool2d(x[:, :, :, None], 2, 1, "SAME") + tf.nn.avg_pool2d(x[:, :, :, None], 2, 1, "SAME"),
    "depth_to_space": lambda x, i: tf.nn.depth_to_space(tf.tile(x[:, :, :, None], [1, 1, 1, 4]), 2),
    "patches": lambda x, i: tf.image.extract_patches(x[:, :, :, None], [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "SAME"),
    "sizes_of_open_axes": lambda x, i: tf.reshape(tf.transpose(x, [1, 0, 2]), [-1, tf.shape(x)[0] * 3]),
}


def model_of(cases):
    def build(k):
        x, i = k.Input((4, 3), name="x", dtype="float64"), k.Input((2,), name="i", dtype="int32")
        return k.Model([x, i], [case(x, i) for case in cases])

    return build


def data(name=None):
    i = np.array([[1, 0], [3, 2], [0, 0], [2, 1], [1, 3], [0, 2], [3, 3]], "int32")
    return [np.random.default_rng(3).normal(size=(7, 4, 3)), i]


@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_tensorflow_calls(format):
    same_as_keras(model_of(CALLS.values()), module=tf_keras, inputs=data(), modes=(False,), format=format)


def test_their_source(midstream, tmp_path):
    same_source(midstream, tmp_path, model_of(CALLS.values()), module=tf_keras, inputs=data())


def op_layer(op, inputs, constants=None, **attrs):
    """A TensorFlowOpLayer as tf.keras 2.0 .. 2.3 made it: of the node that TensorFlow makes of raw_ops.<op>."""
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    constants = constants or {}
    with tf.Graph().as_default():
        args = {}
        for name, (dtype, shape) in inputs.items():
            given = name in constants
            args[name] = tf.constant(constants[name]) if given else tf.compat.v1.placeholder(dtype, shape)
        node = getattr(tf.raw_ops, op)(**args, **attrs).op.node_def
    return TensorFlowOpLayer(node.SerializeToString(), node.name, {i: np.asarray(constants[k]) for i, k in enumerate(inputs) if k in constants})


def op_layers(k):
    x = k.Input((4, 3), name="x", dtype="float64")
    batch, sizes = ("float64", [None, 4, 3]), ("int32", [None])
    ints = lambda *values: np.array(values, "int32")
    two = op_layer("Mul", {"x": batch, "y": batch})([x, x])
    flat = op_layer("Reshape", {"tensor": batch, "shape": sizes}, {"shape": ints(-1, 12)})(two)
    both = op_layer("AddV2", {"x": batch, "y": batch})([x, two])
    total = op_layer("Mean", {"input": batch, "axis": sizes}, {"axis": ints(1)}, keep_dims=False)(both)
    slice_of = {"input": batch, "begin": sizes, "end": sizes, "strides": sizes}
    bounds = {"begin": ints(0, 1, 0), "end": ints(0, 3, 1), "strides": ints(1, 1, 2)}
    cut = op_layer("StridedSlice", slice_of, bounds, begin_mask=1, end_mask=1, shrink_axis_mask=4)(both)
    image = op_layer("ExpandDims", {"input": batch, "axis": ("int32", [])}, {"axis": np.int32(3)})(both)
    pool = op_layer("AvgPool", {"value": ("float64", [None, 4, 3, 1])}, ksize=[1, 2, 2, 1], strides=[1, 2, 1, 1], padding="SAME")
    return k.Model(x, [k.layers.Dense(2)(flat), total, cut, pool(image)])


def test_op_layers_of_the_first_tensorflow_2(midstream, tmp_path):
    """Files of tf.keras 2.0 .. 2.3 hold a node of the graph for every TensorFlow call between layers."""
    x = data()[0]
    same_as_keras(op_layers, module=tf_keras, inputs=[x], modes=(False,), format=".h5")
    same_source(midstream, tmp_path, op_layers, module=tf_keras, inputs=[x])
