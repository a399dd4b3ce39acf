"""keras.ops of images and neural networks that test_operations.py does not have, and rearrange."""

from __future__ import annotations

import numpy as np
from emit.emitted import same_as_keras as same_source
from helpers.layers import same_as_keras
from helpers.oracle import keras

from layers.test_operations import model_of

ops = keras.ops


def channels(y):
    """Three channels between 0 and 1."""
    return ops.sigmoid(ops.concatenate([y, y[..., :1] * 2], axis=-1))


# Of x [batch, 4, 3] and y [batch, 6, 5, 2].
IMAGES = {
    "gaussian_blur": lambda x, y: ops.image.gaussian_blur(y, (3, 3), (1.0, 0.7)) + ops.image.gaussian_blur(y),
    "sobel": lambda x, y: ops.image.sobel_edges(y),
    "ssim": lambda x, y: ops.image.ssim(y, y * y, max_val=2.0, filter_size=3),
    "rgb_to_hsv": lambda x, y: ops.image.rgb_to_hsv(channels(y)),
    "hsv_to_rgb": lambda x, y: ops.image.hsv_to_rgb(ops.stop_gradient(channels(y))),
    "scale": lambda x, y: ops.image.scale_and_translate(
        y, (7, 4, 7, 2), np.array([0.7, 1.4]), np.array([0.2, -0.3]), (1, 2), "linear"
    ),
    "scale_cubic": lambda x, y: ops.image.scale_and_translate(
        y, (7, 4, 7, 2), np.array([0.7, 1.4]), np.array([0.2, -0.3]), (1, 2), "cubic", antialias=False
    ),
    "scale_lanczos": lambda x, y: ops.image.scale_and_translate(
        y, (7, 6, 3, 2), np.array([0.6]), np.array([0.1]), (2,), "lanczos3"
    ),
    "psnr": lambda x, y: ops.reshape(ops.psnr(y, y * 0.5, 2.0), (1,)),
}

FIXED = {  # of a fixed batch: Keras reads it
    "unfold": lambda x, y: ops.nn.unfold(ops.transpose(y, (0, 3, 1, 2)), 2, dilation=1, padding=1, stride=2),
    "rearrange": lambda x, y: ops.rearrange(y, "b h w c -> b (w h) c"),
    "rearrange_apart": lambda x, y: ops.rearrange(y, "b (a d) w c -> b a w (d c)", a=2),
    "rearrange_turned": lambda x, y: ops.rearrange(y, "b h w c -> c b h w"),
}

DECODED = {
    "greedy": lambda x, i: ops.ctc_decode(x, i, strategy="greedy")[0],
    "greedy_last": lambda x, i: ops.ctc_decode(x, i, strategy="greedy", mask_index=2, merge_repeated=False)[0],
}


def check(cases, inputs, midstream, tmp_path, **options):
    build = model_of(cases.values(), **options)
    same_as_keras(build, inputs=inputs, modes=(False,))
    same_source(midstream, tmp_path, build, inputs=inputs)


def arrays():
    rng = np.random.default_rng(6)
    return [rng.normal(size=(7, 4, 3)), rng.normal(size=(7, 6, 5, 2))]


def test_operations(midstream, tmp_path):
    check(IMAGES, arrays(), midstream, tmp_path, shapes=[(4, 3), (6, 5, 2)])


def test_ctc_decode(midstream, tmp_path):
    x = arrays()[0].astype("float32")
    lengths = np.array([4, 3, 1, 4, 2, 4, 4], "int32")
    check(DECODED, [x, lengths], midstream, tmp_path, shapes=[(4, 3), ()], dtypes=("float32", "int32"))


def test_of_a_fixed_batch(midstream, tmp_path):
    def build(k):
        y = k.Input((6, 5, 2), batch_size=7, dtype="float64")
        return k.Model(y, [case(None, y) for case in FIXED.values()])

    same_as_keras(build, inputs=arrays()[1:], modes=(False,))
    same_source(midstream, tmp_path, build, inputs=arrays()[1:])
