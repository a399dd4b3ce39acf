"""ReversibleEmbedding: from indices to rows, and from rows back to the scores of all of them."""

import numpy as np
import pytest
from helpers.layers import same_as_keras

TOKENS = np.array([[3, 6, 0, 2, 2], [1, 0, 0, 0, 0], [4, 5, 6, 6, 1]], "int32")


@pytest.mark.parametrize("format", [".keras", ".h5"])
@pytest.mark.parametrize(
    "options", [{}, {"tie_weights": False}, {"logit_soft_cap": 0.5}, {"mask_zero": True, "reverse_dtype": "float64"}]
)
def test_reversible_embedding(options, format):
    def build(k):
        tokens = k.Input((5,), dtype="int32")
        embedding = k.layers.ReversibleEmbedding(7, 4, **options)
        x = k.layers.SimpleRNN(4, return_sequences=True)(embedding(tokens))
        return k.Model(tokens, [x, embedding(x, reverse=True)])

    same_as_keras(build, inputs=[TOKENS], format=format)
