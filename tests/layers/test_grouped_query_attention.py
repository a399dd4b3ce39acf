"""GroupedQueryAttention of Keras 3: options and masks."""

import numpy as np
import pytest
from helpers.layers import same_as_keras

from layers.sequences import BATCH, FEATURES, STEPS, normal, words

ROWS = 4  # of the query where it is not the value


def attention(k, dim=3, heads=4, groups=2, **options):
    return k.layers.GroupQueryAttention(dim, heads, groups, **options)


@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_options(format):
    options = [{}, {"use_bias": False, "groups": 1}, {"groups": 4}, {"use_gate": True}, {"sliding_window": 2}]
    regularized = {"use_gate": True, "kernel_regularizer": "l2", "bias_constraint": "non_neg"}

    def build(k):
        q, v = k.Input((ROWS, FEATURES)), k.Input((None, FEATURES))
        outputs = [attention(k, **o)(q, v) for o in [*options, regularized]]
        outputs += attention(k, use_gate=True)(q, v, return_attention_scores=True)
        return k.Model([q, v], outputs)

    same_as_keras(build, format=format)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")  # Keras says so of its own layers inside
@pytest.mark.parametrize("scores", [False, True])
def test_masks(scores):
    def build(k):
        a, b = k.Input((STEPS,), dtype="int32"), k.Input((STEPS,), dtype="int32")
        m = k.Input((STEPS, STEPS), dtype="bool")
        e = k.layers.Embedding(7, FEATURES, mask_zero=True)
        x, y, z = e(a), e(b), k.layers.Embedding(7, FEATURES)(b)
        more = {"return_attention_scores": scores}
        calls = [
            attention(k)(x, x, **more),
            attention(k)(z, z, use_causal_mask=True, **more),
            attention(k)(x, y, use_causal_mask=True, **more),
            attention(k, sliding_window=3)(x, y, key=z, **more),
            attention(k)(z, z, attention_mask=m, **more),
            attention(k)(x, z, attention_mask=m, use_causal_mask=True, **more),
        ]
        first = calls[0][0] if scores else calls[0]
        return k.Model([a, b, m], [*calls, k.layers.GRU(2)(first)])

    mask = np.random.default_rng(3).random((BATCH, STEPS, STEPS)) < 0.7
    same_as_keras(build, inputs=[words(), np.roll(words(1), 2, axis=0), mask])


def test_seeded_dropout():
    def build(k):
        x = k.Input((STEPS, FEATURES))
        return k.Model(
            x, [attention(k, dropout=0.4, seed=3)(x, x), attention(k, dropout=0.4, seed=4, use_gate=True)(x, x)]
        )

    same_as_keras(build, inputs=[normal(BATCH, STEPS, FEATURES)])
