"""Layers that prepare data: sizes of images, categories, spectrograms."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.several import outputs_of

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
# TensorFlow's resize ops compute in float32: a pixel is a sum of products of numbers that are off by a few units.
FLOAT32 = {"dtype": "float32", "tol": 2e-6, "reason": "TensorFlow's resize ops compute in float32"}
INTERPOLATIONS = {
    keras: ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
    tf_keras: ["nearest", "bilinear", "bicubic", "gaussian", "lanczos3", "lanczos5", "mitchellcubic"],
}


@both
def test_resizing(module):
    def layers(k):
        yield from (lambda k, i=i, s=s: k.layers.Resizing(*s, i) for i in INTERPOLATIONS[k] for s in ((3, 9), (10, 7)))
        yield from (lambda k, s=s: k.layers.Resizing(*s, crop_to_aspect_ratio=True) for s in ((3, 4), (9, 2), (4, 9)))

    same_as_keras(outputs_of((5, 7, 2), *layers(module)), module=module, **FLOAT32)


def test_resizing_of_keras_3():
    same_as_keras(
        outputs_of(
            (5, 7, 2),
            *(
                lambda k, s=s: k.layers.Resizing(*s, pad_to_aspect_ratio=True, fill_value=0.3)
                for s in ((3, 4), (9, 2), (4, 9))
            ),
            *(
                lambda k, i=i, s=s: k.layers.Resizing(*s, i, antialias=True)
                for i in INTERPOLATIONS[keras]
                for s in ((2, 3), (9, 5))
            ),
            lambda k: k.layers.Resizing(6, 4, data_format="channels_first", crop_to_aspect_ratio=True),
        ),
        **FLOAT32,
    )


def test_resizing_of_open_sizes_and_bytes():
    resize = [
        lambda k: k.layers.Resizing(6, 4),
        lambda k: k.layers.Resizing(4, 7, "nearest"),
        lambda k: k.layers.Resizing(3, 5, crop_to_aspect_ratio=True),
        lambda k: k.layers.Resizing(6, 2, pad_to_aspect_ratio=True),
    ]
    same_as_keras(outputs_of((None, None, 2), *resize), **FLOAT32)

    def of_bytes(k):
        x = k.Input((5, 7, 2), dtype="uint8")
        return k.Model(x, [k.layers.Rescaling(1 / 255)(layer(k)(x)) for layer in resize[:3]])

    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 2)).astype("uint8")
    same_as_keras(of_bytes, inputs=[images], **FLOAT32)


@both
def test_center_crop(module):
    sizes = [(3, 4), (2, 2), (5, 7), (8, 3), (6, 9)]
    same_as_keras(
        outputs_of((5, 7, 2), *(lambda k, s=s: k.layers.CenterCrop(*s) for s in sizes)), module=module, **FLOAT32
    )


def float_outputs(k, x, layers):
    """A model whose outputs are floats, which the comparison needs."""
    return k.Model(x, [k.layers.Rescaling(1.0)(layer(k)(x)) for layer in layers])


IDS = np.array([[0, 3, 3], [2, 1, 5], [4, 4, 4]])


@both
def test_category_encoding(module):
    layers = [lambda k, m=m: k.layers.CategoryEncoding(6, output_mode=m) for m in ("multi_hot", "count")]
    one_hot = lambda k: k.layers.CategoryEncoding(6, output_mode="one_hot")  # noqa: E731
    build = lambda k: float_outputs(k, k.Input((3,), dtype="int64"), layers)  # noqa: E731
    same_as_keras(build, module=module, inputs=[IDS])
    same_as_keras(
        lambda k: float_outputs(k, k.Input((1,), dtype="int32"), [one_hot, *layers]),
        module=module,
        inputs=[IDS[:, :1].astype("int32")],
    )
    if module is keras:
        same_as_keras(lambda k: float_outputs(k, k.Input((3,), dtype="int64"), [one_hot]), inputs=[IDS])

    def weighted(k):
        x, w = k.Input((3,), dtype="int64"), k.Input((3,))
        return k.Model([x, w], k.layers.CategoryEncoding(6, output_mode="count")(x, count_weights=w))

    weights = np.random.default_rng(0).normal(size=(3, 3))
    same_as_keras(weighted, module=module, inputs=[IDS, weights], input_gradients=False)


@both
def test_discretization(module):
    modes = ["int", "multi_hot", "count"]
    layers = [lambda k, m=m: k.layers.Discretization([-0.7, 0.1, 1.0], output_mode=m) for m in modes]
    values = np.array([[-2.0, 0.1, np.float32(0.1)], [1.0, 0.5, 7.0], [-0.7, 0.0, np.float32(-0.7)]])
    same_as_keras(lambda k: float_outputs(k, k.Input((3,)), layers), module=module, inputs=[values])
    whole = lambda k: float_outputs(k, k.Input((3,), dtype="int64"), layers)  # noqa: E731
    same_as_keras(whole, module=module, inputs=[IDS])


def test_discretization_adapted():
    def build(k):
        layer = k.layers.Discretization(num_bins=4)
        layer.adapt(np.random.default_rng(0).normal(size=(100, 1)))
        return float_outputs(k, k.Input((5,)), [lambda _: layer])

    same_as_keras(build)


@both
def test_integer_lookup(module):
    def layers(k):
        lookup, words = k.layers.IntegerLookup, [12, 36, 7]
        adapted = lookup(output_mode="count")
        adapted.adapt(IDS.reshape(-1, 1))
        weighted = lookup(output_mode="tf_idf", num_oov_indices=2)
        weighted.adapt(IDS.reshape(-1, 1))
        inner = k.Sequential([k.Input((3,), dtype="int64"), lookup(vocabulary=None)])
        inner.layers[-1].adapt(IDS.reshape(-1, 1))
        return [
            lookup(vocabulary=words),
            lookup(vocabulary=words, num_oov_indices=3, mask_token=0),
            lookup(vocabulary=words, output_mode="multi_hot", mask_token=0, num_oov_indices=2),
            lookup(vocabulary=words, output_mode="count", max_tokens=9, pad_to_max_tokens=True),
            lookup(vocabulary=words, invert=True),
            lookup(vocabulary=words, invert=True, mask_token=-5),
            adapted,
            inner,
            *([weighted] if k is keras else []),  # a tf_keras file with it does not load in tf_keras
        ]

    def build(k):
        x = k.Input((3,), dtype="int64")
        return float_outputs(k, x, [lambda _, made=made: made for made in layers(k)])

    ids = np.array([[12, 36, 36], [7, 0, 1], [-3, 2, 4]])
    same_as_keras(build, module=module, inputs=[ids], randomize=False)


def test_stft_spectrogram():
    modes = ["log", "magnitude", "psd", "real", "imag", "angle", "stft"]
    same_as_keras(
        outputs_of(
            (20, 2),
            *(lambda k, m=m: k.layers.STFTSpectrogram(m, 8, frame_step=3) for m in modes),
            lambda k: k.layers.STFTSpectrogram(frame_length=6, padding="same", expand_dims=True, fft_length=16),
            lambda k: k.layers.STFTSpectrogram("psd", 6, scaling=None, window=None, periodic=True),
        )
    )


def test_mel_spectrogram():
    mel = lambda k, **more: k.layers.MelSpectrogram(  # noqa: E731
        fft_length=32, sequence_stride=10, sampling_rate=100, num_mel_bins=5, min_freq=2, **more
    )
    same_as_keras(
        outputs_of(
            (70,),
            lambda k: mel(k),
            lambda k: mel(k, power_to_db=False, mag_exp=1.0),
            lambda k: mel(k, sequence_length=21, window="hamming", max_freq=40, ref_power=2.0, top_db=20.0),
        ),
        dtype="float32",
        tol=2e-5,
        reason="the edges of the bands, in which quotients of small differences stand, are float32 in Keras",
    )
