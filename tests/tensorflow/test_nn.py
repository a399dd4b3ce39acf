"""Convolutions, pooling, normalization, losses, images."""

import numpy as np
import pytest
from helpers.graphs import by_midstream, graph_of, no_worse_than_tf, normal, same_as_tf
from helpers.oracle import tf

raw = tf.raw_ops
IMAGE = normal(2, 9, 8, 4)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [[0, 0], [2, 1], [0, 3], [0, 0]]])
@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 2)])
def test_conv2d(padding, stride, dilation):
    # On the CPU TensorFlow differentiates no dilated convolution.
    same_as_tf(
        lambda x, w: tf.nn.conv2d(x, w, stride, padding, dilations=dilation),
        IMAGE,
        normal(3, 2, 4, 5),
        gradient=dilation == 1,
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise(padding, multiplier):
    same_as_tf(lambda x, w: tf.nn.depthwise_conv2d(x, w, [1, 2, 2, 1], padding), IMAGE, normal(3, 2, 4, multiplier))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv2d_transpose(padding, stride):
    x = normal(2, 5, 4, 3)
    shape = [2, 5 * stride, 4 * stride, 6] if padding == "SAME" else [2, (5 - 1) * stride + 3, (4 - 1) * stride + 2, 6]
    same_as_tf(lambda x, w: tf.nn.conv2d_transpose(x, w, shape, stride, padding), x, normal(3, 2, 6, 3), dynamic=False)


def test_conv1d_and_3d():
    same_as_tf(lambda x, w: tf.nn.conv1d(x, w, 2, "SAME"), normal(2, 9, 4), normal(3, 4, 5))
    same_as_tf(
        lambda x, w: tf.nn.conv3d(x, w, [1, 2, 1, 1, 1], "SAME"),
        normal(2, 5, 4, 6, 3),
        normal(2, 3, 2, 3, 4),
        dynamic=False,
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("window, stride", [(2, 2), (3, 2), (3, 1), (2, 1)])
def test_pool(padding, window, stride):
    same_as_tf(lambda x: tf.nn.max_pool2d(x, window, stride, padding), IMAGE)
    same_as_tf(lambda x: tf.nn.avg_pool2d(x, window, stride, padding), IMAGE)


def test_pool_ties():
    same_as_tf(lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("training", [False, True])
def test_fused_batch_norm(training):
    epsilon = float(np.float32(1e-3))

    def f(x, scale, offset, mean, variance):
        y, m, v, *_ = raw.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=mean, variance=variance, is_training=training, epsilon=epsilon
        )
        return [y, m, v]

    def truth(x, scale, offset, mean, variance):
        m, v = tf.nn.moments(x, [0, 1, 2]) if training else (tf.stop_gradient(mean), tf.stop_gradient(variance))
        n = tf.cast(tf.size(x) // tf.shape(x)[-1], x.dtype)
        unbiased = v * n / (n - 1) if training else v
        y = tf.nn.batch_normalization(x, m, v, offset, scale, epsilon)
        return [y, tf.stop_gradient(m), tf.stop_gradient(unbiased)]  # TensorFlow differentiates y alone

    x, scale, offset = (
        normal(2, 9, 8, 4, dtype="float32"),
        normal(4, dtype="float32"),
        normal(4, dtype="float32", seed=2),
    )
    mean, variance = normal(4, dtype="float32", seed=3), np.abs(normal(4, dtype="float32", seed=4)) + np.float32(0.5)
    no_worse_than_tf(f, truth, x, scale, offset, mean, variance)


def test_fused_batch_norm_channels_first():
    """TensorFlow has no kernel of it on a CPU: the numbers are those of the other layout."""
    x, scale, offset = (
        normal(2, 4, 3, 5, dtype="float32"),
        normal(4, dtype="float32"),
        normal(4, dtype="float32", seed=2),
    )
    mean, variance = normal(4, dtype="float32", seed=3), np.abs(normal(4, dtype="float32", seed=4)) + np.float32(0.5)

    def f(layout):
        return lambda x: (
            raw.FusedBatchNormV3(
                x=x,
                scale=scale,
                offset=offset,
                mean=mean,
                variance=variance,
                is_training=False,
                epsilon=1e-3,
                data_format=layout,
            ).y
        )

    _, _, first = graph_of(f("NCHW"), [x], False)
    _, _, last = graph_of(f("NHWC"), [x.transpose(0, 2, 3, 1)], False)
    (y,), (z,) = by_midstream(first, [x], {}).values(), by_midstream(last, [x.transpose(0, 2, 3, 1)], {}).values()
    np.testing.assert_array_equal(y.transpose(0, 2, 3, 1), z)


def test_softmax():
    x = normal(3, 5) * 4
    same_as_tf(lambda x: tf.nn.softmax(x), x)
    same_as_tf(lambda x: tf.nn.softmax(x, axis=0), x)
    same_as_tf(lambda x: tf.nn.log_softmax(x), x)


def test_losses():
    x = normal(3, 5)
    labels = np.abs(normal(3, 5, seed=5))
    same_as_tf(lambda x: tf.nn.softmax_cross_entropy_with_logits(tf.constant(labels), x), x, dynamic=False)
    same_as_tf(lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits([1, 0, 4], x), x, dynamic=False)
    same_as_tf(lambda t, x: tf.nn.sigmoid_cross_entropy_with_logits(t, x), labels, np.array(x) * (x > 0))


def interpolation(old: int, new: int, align: bool, half: bool) -> np.ndarray:
    """The matrix of a linear interpolation along one axis, as resize_bilinear_op.cc defines it."""
    matrix = np.zeros((new, old))
    scale = (old - 1) / (new - 1) if align and new > 1 else old / new
    for i in range(new):
        at = (i + 0.5) * scale - 0.5 if half else i * scale
        low = max(int(np.floor(at)), 0)
        high = min(int(np.ceil(at)), old - 1)
        part = at - np.floor(at)
        matrix[i, low] += 1 - part
        matrix[i, high] += part
    return matrix


@pytest.mark.parametrize("size", [(5, 4), (18, 16), (7, 13)])
@pytest.mark.parametrize("align, half", [(False, False), (True, False), (False, True)])
def test_resize(size, align, half):
    x = normal(2, 9, 8, 3)
    same_as_tf(
        lambda x: raw.ResizeNearestNeighbor(images=x, size=size, align_corners=align, half_pixel_centers=half), x
    )

    def truth(x):
        rows = tf.constant(interpolation(x.shape[1], size[0], align, half))
        columns = tf.constant(interpolation(x.shape[2], size[1], align, half))
        return tf.einsum("oi,pj,bijc->bopc", rows, columns, x)

    no_worse_than_tf(
        lambda x: raw.ResizeBilinear(images=x, size=size, align_corners=align, half_pixel_centers=half),
        truth, x.astype("float32"),
    )  # fmt: skip


def test_blocks_of_pixels():
    x = normal(2, 4, 6, 8)
    same_as_tf(lambda x: tf.nn.space_to_depth(x, 2), x)
    same_as_tf(lambda x: tf.nn.depth_to_space(x, 2), x)
    same_as_tf(lambda x: tf.space_to_batch_nd(x, [2, 3], [[1, 1], [0, 3]]), x)
    same_as_tf(lambda x: tf.compat.v1.batch_to_space_nd(x, [2, 1], [[1, 0], [0, 2]]), x)


def test_local_response_normalization():
    def truth(x):
        squares = tf.pad(x * x, [[0, 0], [0, 0], [0, 0], [1, 1]])
        near = squares[..., :-2] + squares[..., 1:-1] + squares[..., 2:]
        bias, alpha, beta = (float(np.float32(v)) for v in (1.5, 0.3, 0.7))
        return x / (bias + alpha * near) ** beta

    no_worse_than_tf(lambda x: tf.nn.lrn(x, 1, 1.5, 0.3, 0.7), truth, normal(2, 3, 3, 6, dtype="float32"))


def test_lstm_block_cell():
    def f(x, c, h, w, b):
        peep = tf.zeros([3])
        return list(raw.LSTMBlockCell(x=x, cs_prev=c, h_prev=h, w=w, wci=peep, wcf=peep, wco=peep, b=b, cell_clip=-1.0))

    def truth(x, c, h, w, b):  # i, cs, f, o, ci, co, h
        i, g, f, o = tf.split(tf.concat([x, h], 1) @ w + b, 4, 1)
        i, g, f, o = tf.sigmoid(i), tf.tanh(g), tf.sigmoid(f + 1), tf.sigmoid(o)
        state = g * i + c * f
        return [i, state, f, o, g, tf.tanh(state), tf.tanh(state) * o]

    arrays = [normal(2, 4), normal(2, 3), normal(2, 3, seed=2), normal(7, 12), normal(12)]
    # TensorFlow has no gradient of this op alone.
    no_worse_than_tf(f, truth, *[a.astype("float32") for a in arrays], gradient=False)
