"""keras.ops between the layers of functional models: forward, gradients, and the converted Python source."""

from __future__ import annotations

import numpy as np
import pytest
from emit.emitted import same_as_keras as same_source
from helpers.layers import same_as_keras
from helpers.oracle import keras

ops = keras.ops
W = np.random.default_rng(5).normal(size=(3, 2))
ROW = np.array([0.5, -1.0, 2.0])
HALF = np.array([1, 0, 1, 1])

# Of x [batch, 4, 3] and y, which is positive.
ELEMENTWISE = {
    "add_array": lambda x, y: x + ROW,
    "add_array_first": lambda x, y: 2.0 - ops.multiply(ROW, x),
    "add_tensor": lambda x, y: x * ops.ones((4, 3)),
    "abs": lambda x, y: ops.abs(x) + ops.sign(x),
    "trigonometry": lambda x, y: ops.sin(x) + ops.cos(x) * ops.tan(x) + ops.arctan(x) + ops.arctan2(x, y),
    "hyperbolic": lambda x, y: ops.sinh(x) + ops.cosh(x) + ops.arcsinh(x) + ops.arctanh(ops.tanh(x)),
    "inverse": lambda x, y: ops.arccos(ops.tanh(x)) + ops.arcsin(ops.tanh(x)) + ops.arccosh(y + 1),
    "exponentials": lambda x, y: ops.exp(x) + ops.expm1(x) + ops.exp2(x),
    "logarithms": lambda x, y: ops.log(y) + ops.log1p(y) + ops.log2(y) + ops.log10(y),
    "roots": lambda x, y: ops.sqrt(y) + ops.rsqrt(y) + ops.reciprocal(x) + ops.square(x) + ops.cbrt(x),
    "rounding": lambda x, y: ops.floor(x) + ops.ceil(x) + ops.round(x) + ops.round(x, 1) + ops.trunc(x),
    "erf": lambda x, y: ops.erf(x) + ops.erfc(x) + ops.erfinv(ops.tanh(x)),
    "degrees": lambda x, y: ops.deg2rad(x) + ops.rad2deg(x),
    "power": lambda x, y: ops.power(y, x) + x**2 + 2.0**x + ops.power(y, 0.5),
    "division": lambda x, y: x / y + ops.floor_divide(x, y) + ops.mod(x, y) + x // 2.0 + x % 2.0 + 1 / y,
    "divide_no_nan": lambda x, y: ops.divide_no_nan(x, ops.floor(x)),
    "extremes": lambda x, y: ops.maximum(x, y) + ops.minimum(x, 0.5) + ops.clip(x, -1, 1) + ops.logaddexp(x, y),
    "add_column": lambda x, y: ops.reshape(x, (-1, 2, 3, 2)) + ops.reshape(y[0, :2, 0], (2, 1, 1)),
    "hypot": lambda x, y: ops.hypot(x, y),
    "comparisons": lambda x, y: ops.where((x > y) | (x <= ROW) & (x != 0), x, 1.0),
    "logical": lambda x, y: ops.where(ops.logical_xor(x > 0, y > 1), 2, x) + ops.where(~(x > 0), x, y),
    "where_array": lambda x, y: ops.where(x > 0, ROW, 0.0) * x,
    "finite": lambda x, y: ops.cast(ops.isfinite(ops.log(x)) & ~ops.isnan(x) & ~ops.isinf(x), "float64"),
    "nan_to_num": lambda x, y: ops.nan_to_num(ops.log(x), nan=2.0, posinf=1.0, neginf=-1.0),
    "stop_gradient": lambda x, y: ops.stop_gradient(x) * x,
    "bitwise": lambda x, y: ops.cast(ops.cast(x * 4, "int32") & 6 | ops.cast(y * 4, "int32"), "float64"),
    "softmaxes": lambda x, y: ops.softmax(x, axis=1) + ops.log_softmax(x),
    "softmax_all": lambda x, y: ops.softmax(x, axis=None),
    "activations": lambda x, y: sum(
        f(x)
        for f in (
            *(ops.relu, ops.relu6, ops.sigmoid, ops.softplus, ops.softsign, ops.silu, ops.gelu, ops.elu, ops.selu),
            *(ops.tanh, ops.leaky_relu, ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh, ops.log_sigmoid, ops.celu),
            *(ops.soft_shrink, ops.hard_shrink, ops.tanh_shrink, ops.squareplus, ops.sparse_plus, ops.sparsemax),
        )
    ),
    "glu": lambda x, y: ops.glu(ops.concatenate([x, y], axis=2)) + ops.threshold(x, 0.5, 2.0),
    "like": lambda x, y: ops.zeros_like(x) + ops.ones_like(x) * ops.full_like(x, 2.5) + x,
}

REDUCTIONS = {
    "sum": lambda x, y: ops.sum(x, axis=(0, 2)),
    "sum_all": lambda x, y: ops.reshape(ops.sum(x), (1,)),
    "mean": lambda x, y: ops.mean(x, axis=-1, keepdims=True),
    "mean_of_integers": lambda x, y: ops.mean(ops.cast(x * 4, "int32"), axis=-1),
    "prod": lambda x, y: ops.prod(x, axis=(1, 2)) + ops.prod(x),
    "max": lambda x, y: ops.max(x, axis=1) + ops.min(x, axis=1) + ops.max(x, axis=1, initial=0.1),
    "max_of_bools": lambda x, y: ops.max(x > 1, axis=1),
    "any": lambda x, y: ops.any(x > 1, axis=1) & ops.all(x > -2, axis=1),
    "var": lambda x, y: ops.var(x, axis=(1, 2)) + ops.std(x, axis=(1, 2)),
    "var_all": lambda x, y: ops.var(x, keepdims=True) + ops.std(x),
    "logsumexp": lambda x, y: ops.logsumexp(x, axis=1) + ops.logsumexp(x),
    "count_nonzero": lambda x, y: ops.count_nonzero(ops.relu(x), axis=1),
    "norm": lambda x, y: ops.norm(x, axis=-1) + ops.norm(x, ord=1, axis=-1) + ops.norm(x, ord=3, axis=-1),
    "norm_matrix": lambda x, y: ops.norm(x, axis=(1, 2)) + ops.norm(x, ord="fro", axis=(1, 2)),
    "normalize": lambda x, y: ops.normalize(x, axis=1) + ops.normalize(x, axis=(1, 2)) + ops.normalize(x, order=3),
    "average": lambda x, y: ops.average(x, axis=1, weights=np.arange(4.0)) + ops.average(x, axis=1),
    "average_by_tensor": lambda x, y: ops.average(x, axis=1, weights=y),
    "moments": lambda x, y: ops.add(*ops.moments(x, axes=[1])),
    "median": lambda x, y: ops.median(x, axis=1) + ops.median(x, axis=(1, 2), keepdims=True)[:, 0],
    "quantile": lambda x, y: ops.quantile(x, 0.3, axis=1) + ops.quantile(x, 0.3, axis=1, method="nearest"),
    "quantiles": lambda x, y: ops.quantile(x, [0.1, 0.5, 1.0], axis=(1, 2)),
    "argmax": lambda x, y: ops.argmax(x, axis=1) - ops.argmin(x, axis=-2),
    "argmax_keepdims": lambda x, y: ops.argmax(x, axis=1, keepdims=True),
    "cumsum": lambda x, y: ops.cumsum(x, axis=1) + ops.cumprod(x, axis=-1),
    "cumsum_flat": lambda x, y: ops.cumsum(x[0]),
    "sort": lambda x, y: ops.sort(x, axis=1),
    "argsort": lambda x, y: ops.argsort(x, axis=1),
    "top_k": lambda x, y: ops.top_k(x, 2)[0],
    "top_k_indices": lambda x, y: ops.top_k(x, 2)[1],
    "diff": lambda x, y: ops.diff(x, axis=1) + ops.diff(x, n=2, axis=1)[:, :1],
    "ptp": lambda x, y: ops.ptp(x, axis=1) if hasattr(ops, "ptp") else x,
    "nan": lambda x, y: ops.nansum(ops.log(x), axis=1) if hasattr(ops, "nansum") else x,
}

SHAPES = {
    "reshape": lambda x, y: ops.reshape(x, (-1, 6)) + ops.reshape(ops.ravel(x), (-1, 6)),
    "transpose": lambda x, y: ops.transpose(x, (0, 2, 1)) + ops.swapaxes(x, 1, 2) + ops.moveaxis(x, 1, -1),
    "moveaxis": lambda x, y: ops.moveaxis(x, [0, 1], [2, 0]),
    "transpose_all": lambda x, y: ops.transpose(x),
    "expand_dims": lambda x, y: ops.squeeze(ops.expand_dims(x, (1, -1)), (1, 4)) + ops.squeeze(x[:, None], 1),
    "concatenate": lambda x, y: ops.concatenate([x, ops.ones((1, 4, 3)), y], axis=0),
    "concatenate_layer": lambda x, y: keras.layers.Concatenate(axis=0)([x, ops.ones((1, 4, 3), "float64"), y]),
    "stack": lambda x, y: ops.stack([x, y], axis=-1),
    "stacks": lambda x, y: ops.hstack([x, y]),
    "vstack": lambda x, y: ops.vstack([x, y]),
    "append": lambda x, y: ops.append(x, y, axis=1),
    "split": lambda x, y: ops.split(x, 2, axis=1)[1] + ops.split(x, [1, 3], axis=1)[1],
    "array_split": lambda x, y: ops.array_split(x, 3, axis=1)[1],
    "unstack": lambda x, y: ops.unstack(x, axis=1)[2],
    "tile": lambda x, y: ops.tile(x, (1, 2, 1)) + ops.tile(x, (2, 1)),
    "repeat": lambda x, y: ops.repeat(x, 2, axis=1),
    "repeats": lambda x, y: ops.repeat(x, [1, 0, 2, 1], axis=1),
    "pad": lambda x, y: ops.pad(x, ((0, 0), (1, 2), (0, 0)), constant_values=1.5),
    "pad_reflect": lambda x, y: ops.pad(x, ((0, 0), (1, 2), (0, 1)), mode="reflect"),
    "pad_symmetric": lambda x, y: ops.pad(x, ((0, 0), (1, 2), (0, 1)), mode="symmetric"),
    "broadcast_to": lambda x, y: ops.broadcast_to(x[0], (2, 4, 3)),
    "flip": lambda x, y: ops.flip(x, axis=1) + ops.flip(x, axis=(1, 2)) + ops.flipud(x) + ops.fliplr(x) + ops.flip(x),
    "roll": lambda x, y: ops.roll(x, 2, axis=1) + ops.roll(x, -1),
    "rot90": lambda x, y: ops.rot90(x, axes=(1, 2)),
    "meshgrid": lambda x, y: ops.add(*ops.meshgrid(x[0, 0], y[0, :, 0])),
    "meshgrid_ij": lambda x, y: ops.add(*ops.meshgrid(x[0, 0], y[0, :, 0], indexing="ij")),
    "diagonal": lambda x, y: ops.diagonal(x, axis1=1, axis2=2) + ops.diagonal(x, offset=-1, axis1=1, axis2=2),
    "trace": lambda x, y: ops.trace(x, axis1=1, axis2=2),
    "diag": lambda x, y: ops.diag(x[0, :3, 0]) + ops.diag(x[0, 1:, 0], k=0),
    "triangles": lambda x, y: ops.tril(x) + ops.triu(x, 1) + ops.tril(x, -1),
    "linspace": lambda x, y: ops.linspace(x, y, num=4) + ops.linspace(x, 2.0, num=4, endpoint=False),
    "items": lambda x, y: x[..., 1:] + x[:, ::2, None, 1][:, :1] + x[:, -1:, :2],
}

INDICES = {
    "take": lambda x, i: ops.take(x, [0, -1, 2], axis=1) + ops.take(x, i[0], axis=1)[:, :1],
    "take_rows": lambda x, i: ops.take(x, i, axis=1),
    "take_table": lambda x, i: ops.take(W, ops.minimum(i, 2), axis=0),
    "take_flat": lambda x, i: ops.take(x, [1, 2]),
    "take_scalar": lambda x, i: ops.take(x, 2, axis=1),
    "take_along_axis": lambda x, i: ops.take_along_axis(x, i[:, :, None], axis=1),
    "one_hot": lambda x, i: ops.one_hot(i, 4) + ops.one_hot(i, 2, axis=1, dtype="float64")[:, :, :1],
    "multi_hot": lambda x, i: ops.multi_hot(i, 5),
    "scatter": lambda x, i: ops.scatter(i[:, :1], x[:, 0], (4, 3)),
    "scatter_update": lambda x, i: ops.scatter_update(x, [[0, 1], [1, 2]], np.ones((2, 3))),
    "slice": lambda x, i: ops.slice(x, [0, 1, 0], [1, 2, 3]),
    "slice_update": lambda x, i: ops.slice_update(i, [0, 1], i[:2, :1] * 3),
    "segment_sum": lambda x, i: ops.segment_sum(x[:, 0], i[:, 0], num_segments=5),
    "searchsorted": lambda x, i: ops.searchsorted(np.array([-1.0, 0.0, 1.0]), x[0, :, 0], side="right"),
    "digitize": lambda x, i: ops.digitize(x, np.array([-1.0, 0.0, 1.0])),
    "in_top_k": lambda x, i: ops.in_top_k(i[:, 0] // 2, ops.cast(x[:, 0], "float32"), 2),
    "multiply_integers": lambda x, i: i * 2 + ops.sum(i, axis=1, keepdims=True) - i // 2 + i % 2,
}

PRODUCTS = {
    "einsum": lambda x, y: ops.einsum("bij,jk->bik", x, W) + ops.einsum("bij,kj->bik", x, W.T),
    "einsum_two": lambda x, y: ops.einsum("bij,bkj->bik", x, y),
    "matmul": lambda x, y: ops.matmul(x, W) + x @ W,
    "tensordot": lambda x, y: ops.tensordot(x, W, axes=1) + ops.tensordot(x, W, axes=[[2], [0]]),
    "dot": lambda x, y: ops.dot(x, W) + ops.dot(x, ROW)[:, :, None],
    "inner": lambda x, y: ops.inner(x, ROW),
    "outer": lambda x, y: ops.outer(x[0, 0], y[0, :, 1]),
    "vdot": lambda x, y: ops.vdot(x, y) + ops.cross(x, y),
    "solve": lambda x, y: ops.solve(square(x), y[:, :3]) + ops.inv(square(x)),
    "det": lambda x, y: ops.det(square(x)),
    "cholesky": lambda x, y: ops.cholesky(square(x)),
    "solve_triangular": lambda x, y: ops.linalg.solve_triangular(square(x), y[:, :3], lower=True),
}


def square(x):
    """Positive definite, as Cholesky wants it."""
    return ops.matmul(x[:, :3], ops.transpose(x[:, :3], (0, 2, 1))) + 2 * np.eye(3)


NN = {
    "conv": lambda x, y: ops.conv(x, np.ones((2, 3, 2)) * 0.3, strides=2, padding="same"),
    "depthwise": lambda x, y: ops.depthwise_conv(y, np.ones((2, 2, 2, 2)) * 0.3, padding="valid"),
    "separable": lambda x, y: ops.separable_conv(y, np.ones((2, 2, 2, 1)) * 0.3, np.ones((1, 1, 2, 3))),
    "pools": lambda x, y: ops.max_pool(y, 2, padding="same") + ops.average_pool(y, (2, 2), 2, padding="same"),
    "batch_normalization": lambda x, y: ops.batch_normalization(x, ROW, ROW**2, axis=-1, offset=ROW, scale=ROW),
    "layer_normalization": lambda x, y: ops.layer_normalization(x, ROW, ROW) + ops.rms_normalization(x, ROW),
    "attention": lambda x, y: ops.dot_product_attention(y, y * 2, y, is_causal=True),
    "binary_crossentropy": lambda x, y: ops.binary_crossentropy(ops.sigmoid(x), ops.sigmoid(x * 2)),
    "binary_logits": lambda x, y: ops.binary_crossentropy(ops.sigmoid(x), x, from_logits=True),
    "categorical_crossentropy": lambda x, y: ops.categorical_crossentropy(ops.softmax(x), ops.softmax(x * 2)),
    "categorical_logits": lambda x, y: ops.categorical_crossentropy(ops.softmax(x), x, from_logits=True),
    "resize": lambda x, y: ops.image.resize(y, (8, 9), interpolation="nearest"),
    "grayscale": lambda x, y: ops.image.rgb_to_grayscale(ops.pad(y, ((0, 0), (0, 0), (0, 0), (0, 1)))),
    "extract_patches": lambda x, y: ops.image.extract_patches(y, 2, padding="same"),
    "pad_images": lambda x, y: ops.image.pad_images(y, top_padding=1, left_padding=2, target_height=8, target_width=9),
    "crop_images": lambda x, y: ops.image.crop_images(y, top_cropping=1, left_cropping=2, target_height=3, target_width=2),
    "depth_to_space": lambda x, y: ops.nn.depth_to_space(ops.concatenate([y, y], axis=-1), 2),
    "space_to_depth": lambda x, y: ops.nn.space_to_depth(y[:, :4, :4], 2),
}


def real(y):
    return y if y.dtype == "float64" else ops.cast(y, "float64")


def model_of(cases, shapes, second=lambda v: v, dtypes=("float64", "float64")):
    def build(k):
        x, y = (k.Input(shape, dtype=dtype, name=name) for name, shape, dtype in zip("xy", shapes, dtypes, strict=True))
        return k.Model([x, y], [real(case(x, second(y))) for case in cases])

    return build


def data(name):
    # A batch as long as no other axis: the eager Keras takes a column of that length for a bias.
    x = np.random.default_rng(3).normal(size=(7, 4, 3))
    if name == "indices":
        return [x, np.array([[1, 0], [3, 2], [0, 0], [2, 1], [1, 3], [0, 2], [3, 3]], "int32")]
    return [x, np.random.default_rng(4).normal(size=(7, 5, 6, 2) if name == "nn" else (7, 4, 3))]


GROUPS = {
    "elementwise": (ELEMENTWISE, dict(shapes=[(4, 3), (4, 3)], second=lambda y: ops.square(y) + 0.5)),
    "reductions": (REDUCTIONS, dict(shapes=[(4, 3), (4, 3)], second=lambda y: ops.square(y) + 0.5)),
    "shapes": (SHAPES, dict(shapes=[(4, 3), (4, 3)])),
    "indices": (INDICES, dict(shapes=[(4, 3), (2,)], dtypes=("float64", "int32"))),
    "products": (PRODUCTS, dict(shapes=[(4, 3), (4, 3)])),
    "nn": (NN, dict(shapes=[(4, 3), (5, 6, 2)])),
}


@pytest.mark.parametrize("name", GROUPS)
def test_operations(name, midstream, tmp_path):
    cases, options = GROUPS[name]
    build = model_of(cases.values(), **options)
    same_as_keras(build, inputs=data(name), modes=(False,))
    same_source(midstream, tmp_path, build, inputs=data(name))
