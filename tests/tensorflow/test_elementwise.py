"""Elementwise ops, comparisons and selection: forward and gradient, with ties, zeros and edges among the inputs."""

import numpy as np
import pytest
from helpers.graphs import normal, same_as_tf
from helpers.oracle import tf

raw = tf.raw_ops

EDGES = np.array([[-3.5, -2.5, -1.0, -0.5, -0.0], [0.0, 0.5, 1.0, 2.5, 7.0]])
POSITIVE = np.array([[0.1, 0.5, 1.0, 2.0, 9.0]])
UNIT = np.array([[-0.9, -0.5, 0.0, 0.3, 0.8]])

EVERYWHERE = [
    raw.Abs,
    raw.Atan,
    raw.Asinh,
    raw.Ceil,
    raw.Cos,
    raw.Cosh,
    raw.Elu,
    raw.Erf,
    raw.Erfc,
    raw.Exp,
    raw.Expm1,
    raw.Floor,
    raw.Neg,
    raw.OnesLike,
    raw.Relu,
    raw.Relu6,
    raw.Rint,
    raw.Round,
    raw.Selu,
    raw.Sigmoid,
    raw.Sign,
    raw.Sin,
    raw.Sinh,
    raw.Softplus,
    raw.Softsign,
    raw.Square,
    raw.Tan,
    raw.Tanh,
    raw.ZerosLike,
    raw.IsFinite,
    raw.IsNan,
    raw.IsInf,
]
ABOVE_ZERO = [raw.Acosh, raw.Digamma, raw.Inv, raw.Lgamma, raw.Log, raw.Log1p, raw.Reciprocal, raw.Rsqrt, raw.Sqrt]
INSIDE = [raw.Acos, raw.Asin, raw.Atanh, raw.Erfinv]


def call(op, x):
    """Ops name their one argument x, or features."""
    argument = "features" if op in (raw.Elu, raw.Relu, raw.Relu6, raw.Selu, raw.Softplus, raw.Softsign) else "x"
    return op(**{argument: x})


@pytest.mark.parametrize("op", EVERYWHERE, ids=lambda op: op.__name__)
def test_unary(op):
    same_as_tf(lambda x: call(op, x), EDGES)


@pytest.mark.parametrize("op", ABOVE_ZERO, ids=lambda op: op.__name__)
def test_positive(op):
    # PyTorch's trigamma, the gradient of digamma, is only good for 4e-11.
    same_as_tf(lambda x: call(op, x), POSITIVE + (1.0 if op is raw.Acosh else 0.0), gradient=op is not raw.Digamma)


@pytest.mark.parametrize("op", INSIDE, ids=lambda op: op.__name__)
def test_inside(op):
    same_as_tf(lambda x: call(op, x), UNIT)


X = np.array([[1.0, 2.0, -3.0], [0.0, 5.5, -2.0]])
Y = np.array([[1.0, -2.0, -3.5], [2.0, 5.5, 0.75]])


@pytest.mark.parametrize(
    "op",
    [
        raw.AddV2,
        raw.Sub,
        raw.Mul,
        raw.RealDiv,
        raw.Maximum,
        raw.Minimum,
        raw.SquaredDifference,
        raw.FloorDiv,
        raw.FloorMod,
        raw.Mod,
        raw.DivNoNan,
        raw.MulNoNan,
        raw.Xdivy,
        raw.Atan2,
        raw.TruncateMod,
    ],
    ids=lambda op: op.__name__,
)
def test_binary(op):
    gradient = op not in (raw.Mod, raw.TruncateMod)
    same_as_tf(lambda x, y: op(x=x, y=y), X, Y, gradient=gradient)
    same_as_tf(lambda x, y: op(x=x, y=y), X, Y[:, :1], gradient=gradient)


def test_binary_at_zero():
    zeros = np.array([[0.0, 2.0, 0.0]])
    same_as_tf(lambda x, y: tf.math.divide_no_nan(x, y), X[:1], zeros)
    same_as_tf(lambda x, y: tf.math.multiply_no_nan(x, y), np.array([[np.inf, 1.0, 3.0]]), zeros, gradient=False)
    for f in (tf.math.xlogy, tf.math.xlog1py, tf.math.xdivy):
        same_as_tf(lambda x, y, f=f: f(x, y), zeros, np.array([[2.0, 3.0, 0.5]]))
        same_as_tf(lambda x, y, f=f: f(x, y), zeros, np.array([[0.0, 3.0, np.inf]]))


def test_pow():
    same_as_tf(lambda x, y: tf.pow(x, y), POSITIVE, np.array([[2.0, 0.5, -1.0, 3.0, 1.5]]))
    for exponent in (2.0, 3.0, 0.5, -1.5):
        same_as_tf(lambda x: tf.pow(x, tf.constant(exponent, tf.float64)), POSITIVE)


def test_igamma():
    same_as_tf(lambda a, x: tf.math.igamma(a, x), POSITIVE, POSITIVE[:, ::-1] + 0.25, gradient=False)
    same_as_tf(lambda a, x: tf.math.igammac(a, x), POSITIVE, POSITIVE[:, ::-1] + 0.25, gradient=False)


def test_integers():
    a, b = np.array([[7, -7, 9, -1]], "int32"), np.array([[2, 2, -4, 3]], "int32")
    for op in (
        raw.AddV2,
        raw.Sub,
        raw.Mul,
        raw.FloorDiv,
        raw.FloorMod,
        raw.Mod,
        raw.Div,
        raw.TruncateDiv,
        raw.Maximum,
        raw.Minimum,
    ):
        same_as_tf(lambda x, y, op=op: op(x=x, y=y), a, b)
    for op in (raw.BitwiseAnd, raw.BitwiseOr, raw.BitwiseXor):
        same_as_tf(lambda x, y, op=op: op(x=x, y=y), a, b)
    same_as_tf(lambda x: raw.Invert(x=x), a)


def test_add_n():
    same_as_tf(lambda x, y: tf.add_n([x, y, x]), X, Y)


def test_leaky_relu():
    same_as_tf(lambda x: tf.nn.leaky_relu(x, 0.3), EDGES)


@pytest.mark.parametrize("low, high", [(-1.0, 2.5), (0.0, 6.0)])
def test_clip_by_value(low, high):
    same_as_tf(lambda x: tf.clip_by_value(x, low, high), EDGES)
    same_as_tf(
        lambda x: raw.ClipByValue(
            t=x, clip_value_min=tf.constant(low, x.dtype), clip_value_max=tf.constant(high, x.dtype)
        ),
        EDGES,
    )


def test_comparisons():
    for op in (tf.less, tf.less_equal, tf.greater, tf.greater_equal, tf.equal, tf.not_equal):
        same_as_tf(lambda x, y, op=op: op(x, y), X, Y)
    same_as_tf(lambda x, y: tf.logical_or(tf.logical_and(x > 0, y > 0), tf.logical_not(x < y)), X, Y)
    same_as_tf(lambda x, y: raw.ApproximateEqual(x=x, y=y, tolerance=0.6), X, Y)


def test_select():
    same_as_tf(lambda x, y: tf.where(x > y, x * 2, y), X, Y)
    same_as_tf(lambda x, y: tf.where(x > 0, x, y[:, :1]), X, Y)
    same_as_tf(lambda x, y: tf.compat.v1.where(x[:, 0] > 0.5, x, y), X, Y)


@pytest.mark.parametrize("to", ["float32", "int32", "int64", "uint8", "bool", "float16"])
def test_cast(to):
    same_as_tf(lambda x: tf.cast(x, to), np.abs(X), gradient=False)
    same_as_tf(lambda x: tf.cast(tf.cast(x, to), "float64"), np.abs(X), gradient=False)


def test_stop_gradient():
    same_as_tf(lambda x: x * tf.stop_gradient(x) + tf.debugging.check_numerics(x, "x"), X)


def test_bias_add_both_layouts():
    same_as_tf(lambda x, b: tf.nn.bias_add(x, b), normal(2, 3, 4, 5), normal(5))
    same_as_tf(lambda x, b: tf.nn.bias_add(x, b, data_format="NCHW"), normal(2, 3, 4, 5), normal(3))
