"""Source printed for TensorFlow graphs: what computes can be printed, and trains as TensorFlow trains it."""

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, tf, tf_keras


@pytest.mark.parametrize("training", [False, True])
def test_layer_normalization_of_tf_keras(training, tmp_path):
    """tf_keras computes it by the kernel of batch normalization in training mode, over a reshaped tensor."""
    with floatx("float32"):
        x = tf_keras.Input((6, 8))
        model = tf_keras.Model(x, tf_keras.layers.LayerNormalization()(tf_keras.layers.Dense(8)(x)))
    data = np.random.default_rng(0).normal(size=(3, 6, 8)).astype("float32")
    cotangent = np.random.default_rng(1).normal(size=(3, 6, 8)).astype("float32")
    tf_keras.models.save_model(model, tmp_path / "my_norm", save_format="tf")
    ours = midstream.load(tmp_path / "my_norm").train(training)
    with tf.GradientTape() as tape:
        wanted = model(data, training=training)
        loss = tf.reduce_sum(wanted * cotangent)
    gradients = tape.gradient(loss, model.trainable_variables)
    got = ours(torch.from_numpy(data))
    got = next(iter(got.values())) if isinstance(got, dict) else got
    # float32: sums of 8 terms, divided by a deviation near one.
    np.testing.assert_allclose(got.detach().numpy(), wanted.numpy(), rtol=0, atol=8 * 2.0**-23 * 8)
    (got * torch.from_numpy(cotangent)).sum().backward()
    # PyTorch's kernels are the transposed ones.
    mine = sorted(
        (p.grad.t().numpy().ravel() for p in ours.parameters()), key=lambda g: (g.size, float(np.abs(g).sum()))
    )
    theirs = sorted((g.numpy().ravel() for g in gradients), key=lambda g: (g.size, float(np.abs(g).sum())))
    assert len(mine) == len(theirs) == 4
    for a, b in zip(mine, theirs, strict=True):
        # Sums over 18 rows.
        np.testing.assert_allclose(a, b, rtol=0, atol=18 * 8 * 2.0**-23 * np.abs(b).max())


def test_the_class_is_named_after_the_file(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def serve(self, x):
            return {"y": x * 2.0}

    module = Module()
    for directory in ("half_plus_two", "half_plus_two/00000123"):
        tf.saved_model.save(module, tmp_path / directory, signatures=module.serve)
        assert type(midstream.load(tmp_path / directory)).__name__ == "HalfPlusTwo"
