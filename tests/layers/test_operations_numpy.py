"""The rest of keras.ops between the layers of functional models: NumPy's functions, matrices, Fourier transforms."""

from __future__ import annotations

import numpy as np
import pytest
from emit.emitted import same_as_keras as same_source
from helpers.layers import same_as_keras
from helpers.oracle import keras

from layers.test_operations import model_of, square

ops = keras.ops
ROW = np.array([0.5, -1.0, 2.0])


def stop(x):
    return ops.stop_gradient(x)


def holed(x):
    """NaN where x is above 0.8, all of them in the first row of some."""
    return ops.where(ops.logical_or(x > 0.8, x < -1.2), np.nan, x)


# Of x [batch, 4, 3] and y, which is positive; i and j are whole numbers.
NUMBERS = {
    "fmax": lambda x, y: ops.fmax(x, holed(y)) + ops.fmin(holed(x), ROW),
    "fmod": lambda x, y: ops.fmod(x, y) + ops.fabs(x) + ops.sinc(x) + ops.sinc(ops.floor(x)),
    "fmod_integers": lambda x, y: ops.fmod(whole(x), whole(y) + 1),
    "gcd": lambda x, y: ops.gcd(whole(x) * 4, whole(y) * 6) + ops.lcm(whole(x), whole(y)),
    "heaviside": lambda x, y: ops.heaviside(ops.round(x), y),
    "isclose": lambda x, y: ops.isclose(x, x + 1e-9 * y) & ops.isclose(x, y + x),
    "isclose_nan": lambda x, y: ops.isclose(holed(x), holed(x), equal_nan=True),
    "allclose": lambda x, y: ops.reshape(ops.allclose(x, x + 1e-12), (1,)),
    "ldexp": lambda x, y: ops.ldexp(x, whole(y)) + ops.logaddexp2(x, y),
    "nextafter": lambda x, y: ops.nextafter(x, y),
    "isin": lambda x, y: ops.isin(whole(x), [1, 2, 5]) | ops.isin(whole(x), whole(y)[0, 0], invert=True),
    "select": lambda x, y: ops.select([x > 0.5, x > 0.0], [x, y], 2.0),
    "saturate_cast": lambda x, y: ops.saturate_cast(x * 100, "uint8"),
    "saturate_cast_signed": lambda x, y: ops.saturate_cast(x * 100, "int8"),
    "ndim": lambda x, y: x * ops.cast(ops.ndim(x), "float64") + ops.cast(ops.size(x[0]), "float64"),
    "full": lambda x, y: ops.full((2, 3), x[0, 0, 0], dtype="float64"),
    "array": lambda x, y: ops.array(x),
    "geomspace": lambda x, y: ops.geomspace(y, y + 1, num=4) + ops.logspace(x, y, num=4, base=2.0),
    "logspace": lambda x, y: ops.logspace(x, y, num=3, endpoint=False, axis=-1),
    "vander": lambda x, y: ops.vander(x[0, 0], N=4) + ops.vander(x[0, 0], 4, increasing=True),
    "unravel_index": lambda x, y: ops.unravel_index(whole(y)[0, 0] * 5, (4, 6))[1],
    "view": lambda x, y: ops.view(ops.cast(stop(x), "float32"), "int32"),
    "view_wider": lambda x, y: ops.view(ops.concatenate([whole(x), whole(y)], axis=-1), "int64"),
    "trapezoid": lambda x, y: ops.trapezoid(x, axis=1),
    "corrcoef": lambda x, y: ops.corrcoef(x[0]),
    "correlate": lambda x, y: ops.correlate(x[0, :, 0], y[0, 0, :]),
    "correlate_full": lambda x, y: ops.correlate(x[0, :, 0], y[0, 0, :], mode="full"),
    "correlate_same": lambda x, y: ops.correlate(x[0, :, 0], y[0, 0, :], mode="same"),
    "kron": lambda x, y: ops.kron(x[0], y[0, :2]) + 0 * ops.kron(x[0], y[0, 2:]),
    "diagflat": lambda x, y: ops.diagflat(x[0, :2], k=1),
    "cdist": lambda x, y: ops.cdist(x, y),
    "argpartition": lambda x, y: ops.argpartition(x[0, :, 0] * 10, 1),
}

NAN = {
    "nanmax": lambda x, y: ops.nanmax(holed(x), axis=1) + ops.nanmin(holed(x), axis=1),
    "nanmax_all": lambda x, y: ops.nanmax(holed(x), keepdims=True) + ops.nanmin(x, axis=(1, 2), keepdims=True),
    "nanvar": lambda x, y: ops.nanvar(holed(x), axis=1) + ops.nanstd(holed(x), axis=(1, 2), keepdims=True)[:, 0],
    "nanargmax": lambda x, y: ops.nanargmax(holed(x), axis=1) - ops.nanargmin(holed(x), axis=1),
    "nancumsum": lambda x, y: ops.nancumsum(holed(x), axis=1) + ops.nancumprod(holed(x), axis=2),
    "nanmedian": lambda x, y: ops.nanmedian(holed(x), axis=1),
    "nanquantile": lambda x, y: ops.nanquantile(holed(x), 0.3, axis=(1, 2)),
    "nanpercentile": lambda x, y: ops.nanpercentile(holed(x), 30, axis=1, keepdims=True),
}

# The signs of singular and eigenvectors are LAPACK's here and Eigen's there: what does not depend on them.
MATRICES = {
    "cholesky_inverse": lambda x, y: ops.linalg.cholesky_inverse(ops.cholesky(square(x))),
    "cholesky_inverse_upper": lambda x, y: ops.linalg.cholesky_inverse(ops.cholesky(square(x), upper=True), upper=True),
    "qr": lambda x, y: ops.matmul(*ops.qr(x)) + ops.abs(ops.qr(x)[0]),
    "qr_complete": lambda x, y: ops.qr(square(x), mode="complete")[1],
    "svd": lambda x, y: ops.svd(x, compute_uv=False),
    "svd_product": lambda x, y: product(ops.svd(x, full_matrices=False)),
    "eigh": lambda x, y: ops.eigh(square(x))[0],
    "eigh_vectors": lambda x, y: ops.square(ops.eigh(square(x))[1]),
    "slogdet": lambda x, y: ops.slogdet(square(x) - 2 * np.eye(3))[1] * ops.slogdet(square(x))[0],
    "lu": lambda x, y: ops.lu_factor(stop(x[0, :3]))[0],
    "lu_rows": lambda x, y: ops.cast(ops.lu_factor(stop(x[0, :3]))[1], "float32"),
    "rank": lambda x, y: ops.cast(ops.linalg.matrix_rank(ops.concatenate([x[:, :2]] * 2, axis=1)), "float32"),
    "pinv": lambda x, y: ops.linalg.pinv(x),
    "lstsq": lambda x, y: ops.lstsq(x[0], y[0]),
    "lstsq_vector": lambda x, y: ops.lstsq(x[0], y[0, :, 1]),
    "norm_rows": lambda x, y: ops.norm(x, ord=1, axis=(1, 2)) + ops.norm(x, ord=-1, axis=(1, 2)),
    "norm_columns": lambda x, y: ops.norm(x, ord=float("inf"), axis=(2, 1)) + ops.norm(x, ord=float("-inf"), axis=(1, 2)),
    "norm_singular": lambda x, y: ops.norm(x, ord=2, axis=(1, 2)) + ops.norm(x, ord=-2, axis=(1, 2)),
    "norm_nuclear": lambda x, y: ops.norm(x, ord="nuc", axis=(1, 2), keepdims=True),
}

FOURIER = {
    "fft": lambda x, y: ops.add(*ops.fft((x, y))) + ops.add(*ops.fft2((x, y))) + ops.subtract(*ops.ifft2((x, y))),
    "rfft": lambda x, y: ops.add(*ops.rfft(x)) + ops.subtract(*ops.rfft(x, fft_length=3)),
    "rfft_longer": lambda x, y: ops.add(*ops.rfft(x, fft_length=8)),
    "irfft": lambda x, y: ops.irfft((x, y)) + ops.irfft((x, y), fft_length=4),
    "extract_sequences": lambda x, y: ops.extract_sequences(wave(x), 5, 3),
    "stft": lambda x, y: ops.add(*ops.stft(wave(x), 6, 2, 8)),
    "stft_plain": lambda x, y: ops.subtract(*ops.stft(wave(x), 5, 3, 6, window=None, center=False)),
    "stft_hamming": lambda x, y: ops.stft(wave(x), 6, 2, 6, window="hamming")[1],
    "istft": lambda x, y: ops.istft(ops.stft(wave(x), 6, 2, 8), 6, 2, 8),
    "istft_plain": lambda x, y: ops.istft(ops.rfft(ops.extract_sequences(wave(x), 6, 2)), 6, 2, 6, window=None, center=False),
    "istft_length": lambda x, y: ops.istft(ops.stft(wave(x), 6, 3, 6, window="hamming"), 6, 3, 6, length=9, window="hamming"),
    "isreal": lambda x, y: ops.isreal(x),
    "parts": lambda x, y: ops.real(x) + ops.conj(y),
}

SEGMENTS = {
    "segment_max": lambda x, i: ops.segment_max(x, i[:, 0], num_segments=4),
    "segment_min": lambda x, i: ops.segment_min(x, i[:, 0], num_segments=5),
    "segment_max_integers": lambda x, i: ops.segment_max(i, i[:, 1], num_segments=5),
    "arange": lambda x, i: ops.arange(0, ops.shape(x)[1], 1) + i[0, 0] * 0,
}


def whole(x):
    return ops.cast(x * 3, "int32")


def wave(x):
    return ops.reshape(x, (-1, 12))


def product(usv):
    u, s, v = usv
    return ops.matmul(u * ops.expand_dims(s, 1), v)


GROUPS = {
    "numbers": (NUMBERS, dict(shapes=[(4, 3), (4, 3)], second=lambda y: ops.square(y) + 0.5)),
    "nan": (NAN, dict(shapes=[(4, 3), (4, 3)])),
    "matrices": (MATRICES, dict(shapes=[(4, 3), (4, 3)])),
    "fourier": (FOURIER, dict(shapes=[(4, 3), (4, 3)], second=lambda y: ops.square(y) + 0.5)),
    "segments": (SEGMENTS, dict(shapes=[(4, 3), (2,)], dtypes=("float64", "int32"))),
}


@pytest.mark.parametrize("name", GROUPS)
def test_operations(name, midstream, tmp_path):
    cases, options = GROUPS[name]
    build = model_of(cases.values(), **options)
    x = np.random.default_rng(3).normal(size=(7, 4, 3))
    second = np.random.default_rng(4).normal(size=(7, 4, 3))
    if name == "segments":
        second = np.array([[1, 0], [3, 2], [0, 0], [-1, 1], [1, 3], [0, 2], [3, 3]], "int32")
    same_as_keras(build, inputs=[x, second], modes=(False,))
    same_source(midstream, tmp_path, build, inputs=[x, second])
