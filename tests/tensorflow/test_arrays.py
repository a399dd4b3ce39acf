"""Shapes, slices, joining, reductions, gathering: with sizes known and unknown."""

import numpy as np
import pytest
from helpers.graphs import normal, same_as_tf
from helpers.oracle import tf

raw = tf.raw_ops
X = normal(2, 3, 4)


def test_reshape_by_shape_arithmetic():
    same_as_tf(lambda x: tf.reshape(x, [tf.shape(x)[0] * 3, -1]), X)
    same_as_tf(lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [-1]], 0)), X)
    same_as_tf(lambda x: tf.reshape(x, tf.stack([tf.shape(x)[1], tf.size(x) // tf.shape(x)[1]])), X)
    same_as_tf(lambda x: tf.shape(x) * 2 - tf.reduce_max(tf.shape(x)), X)


def test_host_integers_as_outputs():
    same_as_tf(lambda x: [tf.shape(x), tf.size(x), tf.rank(x), tf.shape(x)[1], tf.reduce_prod(tf.shape(x)[:2])], X)
    same_as_tf(lambda x: tf.cast(tf.shape(x)[0], tf.float64) * x, X)
    same_as_tf(lambda x: [tf.shape(x)[0] > 1, tf.equal(tf.shape(x)[1], 7), tf.where(tf.shape(x)[0] > 1, 5, 6)], X)


def test_shapes():
    same_as_tf(lambda x: tf.transpose(x, [2, 0, 1]), X)
    same_as_tf(lambda x: tf.squeeze(tf.expand_dims(tf.expand_dims(x, 1), -1), [1, -1]), X)
    same_as_tf(lambda x: tf.squeeze(x), X[:1], dynamic=False)
    same_as_tf(lambda x: tf.broadcast_to(x[:, :1], tf.shape(x)), X)
    same_as_tf(lambda x: tf.tile(x, [2, 1, 3]), X)
    same_as_tf(lambda x: tf.tile(x[:1], [tf.shape(x)[0], 1, 1]), X)
    same_as_tf(lambda x: tf.fill(tf.shape(x), tf.constant(2.5, tf.float64)) * x, X)
    same_as_tf(lambda x: tf.zeros(tf.shape(x)[1:], tf.float64) + x, X)


def test_ranges():
    same_as_tf(lambda x: [tf.range(tf.shape(x)[0]), tf.range(2, 9, 3), tf.range(5, 0, -2)], X)
    same_as_tf(lambda x: tf.linspace(tf.constant(1.0, tf.float64), 2.0, 7) + x[0, 0, 0], X)
    same_as_tf(lambda x: tf.range(0.0, 1.0, 0.25) + tf.cast(x[0, 0, 0], tf.float32), X)


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x[0],
        lambda x: x[-1, 1:],
        lambda x: x[:, ::2],
        lambda x: x[..., 1:3],
        lambda x: x[:, tf.newaxis, ..., 0],
        lambda x: x[:, ::-1],
        lambda x: x[..., 3:0:-2],
        lambda x: x[:, -2:],
        lambda x: x[1, ..., tf.newaxis],
        lambda x: x[:, :-1, 1],
        lambda x: x[:, 5:0:-1, -100:100],
        lambda x: x[: tf.shape(x)[0] - 1],
    ],
)
def test_strided_slice(cut):
    same_as_tf(cut, X)


def test_slice():
    same_as_tf(lambda x: tf.slice(x, [0, 1, 1], [-1, 2, 2]), X)
    same_as_tf(lambda x: tf.slice(x, [0, 1, 0], [tf.shape(x)[0], 1, -1]), X)


def test_joining_and_splitting():
    same_as_tf(lambda x: tf.concat([x, x * 2], 1), X)
    same_as_tf(lambda x: tf.concat([x, x * 2], -1), X)
    same_as_tf(lambda x: tf.stack([x, x * 2], 2), X)
    same_as_tf(lambda x: tf.unstack(x, axis=1, num=3), X)
    same_as_tf(lambda x: tf.split(x, 2, axis=2), X)
    same_as_tf(lambda x: tf.split(x, [1, -1], axis=1, num=2), X)
    same_as_tf(lambda x: tf.reverse(x, [0, 2]), X)
    same_as_tf(lambda x: tf.roll(x, [1, -2], [0, 2]), X)
    same_as_tf(lambda x: tf.reverse_sequence(x, [1, 3], seq_axis=1, batch_axis=0), X, dynamic=False)


@pytest.mark.parametrize("mode", ["CONSTANT", "REFLECT", "SYMMETRIC"])
def test_pad(mode):
    same_as_tf(lambda x: tf.pad(x, [[1, 0], [2, 1], [0, 2]], mode), X)


def test_pad_value_and_computed():
    same_as_tf(lambda x: tf.pad(x, [[1, 0], [2, 1], [0, 2]], constant_values=1.5), X)
    same_as_tf(lambda x: tf.pad(x, [[0, 0], [0, 5 - tf.shape(x)[1]], [0, 0]]), X)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, [0, 2], []])
def test_reductions(axis, keep):
    tied = np.round(X * 2) / 2
    for op in (
        tf.reduce_sum,
        tf.reduce_mean,
        tf.reduce_max,
        tf.reduce_min,
        tf.reduce_prod,
        tf.math.reduce_euclidean_norm,
    ):
        same_as_tf(lambda x, op=op: op(x, axis, keep), X if op is tf.reduce_prod else tied)
    for op in (tf.reduce_any, tf.reduce_all):
        same_as_tf(lambda x, op=op: op(x > 0, axis, keep), X)


def test_reductions_of_integers():
    x = np.array([[1, 2, 4], [-9, 0, 2]], "int32")
    for op in (tf.reduce_sum, tf.reduce_mean, tf.reduce_max, tf.reduce_prod):
        same_as_tf(lambda x, op=op: op(x, 1), x)


def test_l2_loss():
    same_as_tf(lambda x: tf.nn.l2_loss(x), X)


def test_largest():
    tied = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    same_as_tf(lambda x: [tf.argmax(x, 1), tf.argmin(x, 1, output_type=tf.int32)], tied)
    same_as_tf(lambda x: list(tf.nn.top_k(x, 3)), tied)
    same_as_tf(lambda x: tf.math.in_top_k([1, 0], tf.cast(x, tf.float32), 2), tied, dynamic=False)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_scans(exclusive, reverse):
    same_as_tf(lambda x: tf.cumsum(x, 1, exclusive, reverse), X)
    same_as_tf(lambda x: tf.math.cumprod(x, -1, exclusive, reverse), X)


def test_gather():
    i = np.array([[0, 2], [1, 1]], "int32")
    same_as_tf(lambda x: tf.gather(x, [2, 0, 2], axis=1), X)
    same_as_tf(lambda x, i: tf.gather(x, i, axis=1), X, i)
    same_as_tf(lambda x, i: tf.gather(x, i, axis=1, batch_dims=1), X, i)
    same_as_tf(lambda x, i: tf.gather(x, i, axis=2, batch_dims=1), X, i)
    same_as_tf(lambda x: tf.gather(x, 1, axis=1), X)
    same_as_tf(lambda x: tf.gather(tf.shape(x), [2, 0]), X)
    same_as_tf(lambda x: tf.gather_nd(x, [[0, 2], [1, 1]]), X)
    same_as_tf(lambda x, i: tf.gather_nd(x, i), X, np.array([[[0, 2, 1], [1, 1, 3]]], "int64"))


def test_scatter():
    i = np.array([[1], [3], [1]], "int32")
    u = normal(3, 2)
    same_as_tf(lambda i, u: tf.scatter_nd(i, u, [5, 2]), i, u)
    same_as_tf(lambda x, i, u: tf.tensor_scatter_nd_add(x, i, u), normal(5, 2), i, u)
    same_as_tf(lambda x, i, u: tf.tensor_scatter_nd_sub(x, i, u), normal(5, 2), i, u)
    same_as_tf(lambda x, i, u: tf.tensor_scatter_nd_update(x, i, u), normal(5, 2), i[:2], u[:2])
    same_as_tf(lambda x: tf.math.unsorted_segment_sum(x, [1, -1], 3), X)


def test_one_hot():
    i = np.array([[0, 2], [5, -1]], "int32")
    same_as_tf(lambda i: tf.one_hot(i, 4, dtype=tf.float64), i)
    same_as_tf(lambda i: tf.one_hot(i, 4, on_value=3.0, off_value=-1.0, axis=1), i)


def test_where_gives_coordinates():
    same_as_tf(lambda x: tf.where(x > 0), X)
    same_as_tf(lambda x: tf.boolean_mask(x, x[..., 0] > 0), X)


def test_permutations():
    same_as_tf(lambda x: tf.transpose(x, tf.math.invert_permutation([2, 0, 1])), X)
    same_as_tf(lambda p: tf.math.invert_permutation(p), np.array([2, 0, 1], "int32"))
    same_as_tf(lambda x: tf.dynamic_stitch([[0, 2], [1]], [x, x[:1] * 2]), X, dynamic=False)


def test_matrices():
    same_as_tf(lambda x: tf.linalg.band_part(x, 1, 0), X)
    same_as_tf(lambda x: tf.linalg.band_part(x, -1, 1), X)
    same_as_tf(lambda x: tf.linalg.diag(x), X)
    same_as_tf(lambda x: tf.linalg.diag_part(x), normal(2, 3, 3))
    same_as_tf(lambda x, d: tf.linalg.set_diag(x, d), normal(2, 3, 3), normal(2, 3))
    same_as_tf(lambda x: [tf.linalg.det(x), tf.linalg.inv(x)], normal(2, 3, 3))
    same_as_tf(lambda x, y: tf.linalg.solve(x, y), normal(2, 3, 3), normal(2, 3, 4))
    same_as_tf(lambda x, y: tf.linalg.triangular_solve(x, y), normal(3, 3) + 3 * np.eye(3), normal(3, 4))
    same_as_tf(
        lambda x: tf.linalg.cholesky(tf.matmul(x, x, transpose_b=True) + 2 * tf.eye(3, dtype=tf.float64)),
        normal(3, 3),
        dynamic=False,
    )


@pytest.mark.parametrize("a, b", [(False, False), (True, False), (False, True), (True, True)])
def test_matmul(a, b):
    x, y = normal(3, 4), normal(4, 5)
    same_as_tf(lambda x, y: tf.matmul(x, y, a, b), x.T if a else x, y.T if b else y, dynamic=False)
    x, y = normal(2, 3, 4), normal(2, 4, 5)
    same_as_tf(lambda x, y: tf.matmul(x, y, a, b), x.swapaxes(1, 2) if a else x, y.swapaxes(1, 2) if b else y)


def test_einsum():
    same_as_tf(lambda x, y: tf.einsum("abc,cd->abd", x, y), X, normal(4, 5))
    same_as_tf(lambda x: tf.einsum("...ij->...ji", x), X)
    same_as_tf(lambda x, y: tf.einsum("bic,bjc->bij", x, y), X, normal(2, 5, 4))


def test_bitcast():
    same_as_tf(lambda x: tf.bitcast(x, tf.int64), X)
    same_as_tf(lambda x: tf.bitcast(tf.bitcast(x, tf.int32), tf.float64), X)
