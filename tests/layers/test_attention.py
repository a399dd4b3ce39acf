"""MultiHeadAttention: all options and masks, both Keras."""

import numpy as np
import pytest
from helpers.layers import same_as_keras
from helpers.oracle import keras, tf_keras

from layers.sequences import BATCH, FEATURES, STEPS, normal, words

MODULES = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
ROWS = 4  # of the query where it is not the value


def attention(k, heads=2, key_dim=3, **options):
    return k.layers.MultiHeadAttention(heads, key_dim, **options)


OPTIONS = [
    {},
    {"value_dim": 5},
    {"use_bias": False},
    {"output_shape": 6},
    {"output_shape": (2, 3)},
    {"heads": 1, "key_dim": 4},
    {"value_dim": 2, "output_shape": 3, "use_bias": False},
]


@MODULES
@pytest.mark.parametrize("format", [".keras", ".h5"])
def test_options(module, format):
    def build(k):
        q, v = k.Input((ROWS, FEATURES)), k.Input((STEPS, 5))
        return k.Model([q, v], [attention(k, **o)(q, v) for o in OPTIONS])

    same_as_keras(build, module=module, format=format)


@MODULES
@pytest.mark.parametrize("scores", [False, True])
def test_call_arguments(module, scores):
    def build(k):
        q, v, key = k.Input((None, FEATURES)), k.Input((None, 5)), k.Input((None, 4))
        more = {"return_attention_scores": True} if scores else {}
        return k.Model(
            [q, v, key],
            [
                attention(k)(q, q, **more),
                attention(k)(q, v, key=key, **more),
                attention(k)(q, v, use_causal_mask=True, **more),
                attention(k)(q, q, use_causal_mask=True, **more),
            ],
        )

    same_as_keras(build, module=module)


@MODULES
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_the_inputs(module, scores, causal):
    """Whole rows are masked: their weights are uniform in Keras 3, and those of the scores in Keras 2."""

    def build(k):
        a, b = k.Input((STEPS,), dtype="int32"), k.Input((STEPS,), dtype="int32")
        e = k.layers.Embedding(7, FEATURES, mask_zero=True)
        plain = k.layers.Embedding(7, FEATURES)
        x, y, z = e(a), e(b), plain(b)
        more = {"return_attention_scores": scores, "use_causal_mask": causal}
        outputs = [
            attention(k)(x, x, **more),
            attention(k)(x, y, **more),
            attention(k)(x, y, key=x, **more),
            attention(k)(z, y, **more),
            attention(k)(x, z, **more),
            attention(k)(z, z, key=y, **more),
        ]
        first = outputs[0][0] if scores else outputs[0]
        return k.Model([a, b], [*outputs, k.layers.GRU(2)(first)])

    same_as_keras(build, module=module, inputs=[words(), np.roll(words(1), 2, axis=0)])


@MODULES
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("shape", [(ROWS, STEPS), (1, STEPS), (ROWS, 1), (2, ROWS, STEPS)], ids=str)
def test_attention_mask(module, scores, shape):
    def build(k):
        q, v, m = k.Input((ROWS, FEATURES)), k.Input((STEPS, FEATURES)), k.Input(shape, dtype="bool")
        more = {"return_attention_scores": scores}
        return k.Model(
            [q, v, m],
            [
                attention(k)(q, v, attention_mask=m, **more),
                attention(k)(q, v, attention_mask=m, use_causal_mask=True, **more),
            ]
            if len(shape) == 2
            else attention(k)(q, v, attention_mask=m, **more),
        )

    mask = np.random.default_rng(3).random((BATCH, *shape)) < 0.5
    mask[0] = False
    same_as_keras(
        build, module=module, inputs=[normal(BATCH, ROWS, FEATURES), normal(BATCH, STEPS, FEATURES, seed=2), mask]
    )


@MODULES
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_attention_mask_of_numbers(module, dtype):
    def build(k):
        q, v, m = k.Input((ROWS, FEATURES)), k.Input((STEPS, FEATURES)), k.Input((ROWS, STEPS), dtype=dtype)
        return k.Model([q, v, m], attention(k)(q, v, attention_mask=m))

    mask = (np.random.default_rng(3).random((BATCH, ROWS, STEPS)) < 0.5).astype(dtype)
    inputs = [normal(BATCH, ROWS, FEATURES), normal(BATCH, STEPS, FEATURES, seed=2), mask]
    same_as_keras(build, module=module, inputs=inputs, input_gradients=False)


def test_attention_mask_and_the_inputs_masks():
    def build(k):
        a, m = k.Input((STEPS,), dtype="int32"), k.Input((STEPS, STEPS), dtype="bool")
        x = k.layers.Embedding(7, FEATURES, mask_zero=True)(a)
        return k.Model(
            [a, m], [attention(k)(x, x, attention_mask=m), attention(k)(x, x, attention_mask=m, use_causal_mask=True)]
        )

    mask = np.random.default_rng(3).random((BATCH, STEPS, STEPS)) < 0.7
    for module in (keras, tf_keras):
        same_as_keras(build, module=module, inputs=[words(), mask])


@MODULES
def test_what_comes_after_attention_in_a_masked_model(module):
    """Keras 3 takes the mask off what it attends to: the sum and the next block do not see it there."""

    def build(k):
        a = k.Input((STEPS,), dtype="int32")
        x = k.layers.Embedding(7, FEATURES, mask_zero=True)(a)
        for _ in range(2):
            x = k.layers.Add()([x, attention(k)(x, x)])
            x = k.layers.LayerNormalization()(x)
        late = k.layers.LSTM(3)(x)
        return k.Model(a, [late, k.layers.GlobalAveragePooling1D()(x)])

    same_as_keras(build, module=module, inputs=[words()])


@MODULES
@pytest.mark.parametrize("axes", [None, (1,), (2,), (1, 2)], ids=str)
@pytest.mark.parametrize("scores", [False, True])
def test_several_axes(module, axes, scores):
    def build(k):
        x = k.Input((3, 4, 5))
        return k.Model(x, attention(k, attention_axes=axes)(x, x, return_attention_scores=scores))

    same_as_keras(build, module=module)


@MODULES
def test_several_axes_with_a_mask(module):
    def build(k):
        x, m = k.Input((2, 3, 5)), k.Input((2, 3, 2, 3), dtype="bool")
        return k.Model([x, m], attention(k)(x, x, attention_mask=m))

    same_as_keras(
        build,
        module=module,
        inputs=[normal(BATCH, 2, 3, 5), np.random.default_rng(3).random((BATCH, 2, 3, 2, 3)) < 0.6],
    )


@pytest.mark.parametrize("scores", [False, True])
def test_seeded_dropout(scores):
    def build(k):
        q, v = k.Input((ROWS, FEATURES)), k.Input((STEPS, FEATURES))
        y = attention(k, dropout=0.3, seed=5)(q, v, return_attention_scores=scores)
        return k.Model([q, v], [y, attention(k, dropout=0.3, seed=6)(q, v, use_causal_mask=True)])

    same_as_keras(build)


@MODULES
def test_dropout_without_a_seed(module):
    def build(k):
        x = k.Input((ROWS, FEATURES))
        return k.Model(x, attention(k, dropout=0.3)(x, x))

    same_as_keras(build, module=module, modes=(False,))


@pytest.mark.parametrize("options", [{"use_gate": True}, {"sliding_window": 2}], ids=str)
def test_options_of_keras_3(options):
    def build(k):
        x = k.Input((STEPS, FEATURES))
        made = attention(k, value_dim=4, **options)
        return k.Model(x, [made(x, x), made(x, x, use_causal_mask=True)])

    same_as_keras(build)


@MODULES
@pytest.mark.parametrize("rate", ["kernel_regularizer", "activity_regularizer"])
def test_regularizers(module, rate):
    def build(k):
        x = k.Input((STEPS, FEATURES))
        return k.Model(x, attention(k, **{rate: "l2"})(x, x))

    same_as_keras(build, module=module)


@MODULES
def test_a_transformer_block(module):
    def build(k):
        tokens = k.Input((None,), dtype="int32")
        x = k.layers.Embedding(7, 8, mask_zero=True)(tokens)
        for _ in range(2):
            y = k.layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
            x = k.layers.LayerNormalization()(k.layers.Add()([x, y]))
            y = k.layers.Dense(8)(k.layers.Dense(16, activation="gelu")(x))
            x = k.layers.LayerNormalization()(k.layers.Add()([x, y]))
        return k.Model(tokens, k.layers.GlobalAveragePooling1D()(x))

    same_as_keras(build, module=module, inputs=[words()])


# --- Attention, AdditiveAttention

SIMPLE = [
    lambda k: k.layers.Attention(),
    lambda k: k.layers.Attention(use_scale=True),
    lambda k: k.layers.Attention(score_mode="concat"),
    lambda k: k.layers.Attention(score_mode="concat", use_scale=True),
    lambda k: k.layers.AdditiveAttention(),
    lambda k: k.layers.AdditiveAttention(use_scale=False),
]


@MODULES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scores", [False, True])
def test_simple_attention(module, masked, causal, scores):
    def build(k):
        a, b = k.Input((STEPS,), dtype="int32"), k.Input((STEPS,), dtype="int32")
        e = k.layers.Embedding(7, FEATURES, mask_zero=masked)
        q, v = e(a), e(b)
        more = {"use_causal_mask": causal, "return_attention_scores": scores}
        outputs = [layer(k)([q, v], **more) for layer in SIMPLE]
        outputs += [k.layers.Attention()([q, v, q], **more)]
        first = outputs[0][0] if scores else outputs[0]
        return k.Model([a, b], [*outputs, k.layers.GRU(2)(first)])

    same_as_keras(build, module=module, inputs=[words(), np.roll(words(1), 2, axis=0)])


def test_simple_attention_with_seeded_dropout():
    def build(k):
        q, v = k.Input((ROWS, FEATURES)), k.Input((STEPS, FEATURES))
        return k.Model(
            [q, v],
            [
                k.layers.Attention(dropout=0.3, seed=4)([q, v], return_attention_scores=True),
                k.layers.AdditiveAttention(dropout=0.4, seed=5)([q, v]),
            ],
        )

    same_as_keras(build)
