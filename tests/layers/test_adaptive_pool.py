"""AdaptiveAveragePooling and AdaptiveMaxPooling."""

import numpy as np
from helpers.layers import same_as_keras

from layers.several import outputs_of


def test_adaptive_pooling():
    def pools(d, *sizes):
        return [
            lambda k, c=c, s=s, f=f: getattr(k.layers, f"Adaptive{c}Pooling{d}D")(s, data_format=f)
            for c in ("Average", "Max")
            for s in sizes
            for f in ("channels_last", "channels_first")
        ]

    rng = np.random.default_rng(0)
    # Integers: many maxima are there twice.
    same_as_keras(outputs_of((7, 7), *pools(1, 3, 7, 5)), inputs=[rng.integers(0, 3, (2, 7, 7)).astype("float64")])
    image = rng.integers(0, 3, (2, 7, 5, 6)).astype("float64")
    same_as_keras(outputs_of((7, 5, 6), *pools(2, 3, (2, 4))), inputs=[image])
    # TensorFlow's MaxPool3D gives the gradient to every one of several maxima.
    volume = rng.normal(size=(2, 4, 5, 4, 5))
    same_as_keras(outputs_of((4, 5, 4, 5), *pools(3, 3, (2, 4, 3))), inputs=[volume.astype("float32")], dtype="float32",
                  tol=2e-6, reason="TensorFlow's MaxPool3D knows no float64")  # fmt: skip
