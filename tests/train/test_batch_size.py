"""The size of a batch that a file records binds nobody: fit and predict take others."""

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf_keras
from midstream import _core as core

FILES = [(m, e) for m in (keras, tf_keras) for e in (".keras", ".h5")]


def without_input(k):
    return k.Sequential([k.layers.Dense(5, "tanh", kernel_regularizer=k.regularizers.L2(1e-2)), k.layers.Dense(3)])


def with_batch_size(k):
    x = k.Input((6,), batch_size=8)
    return k.Model(x, k.layers.Dense(3)(k.layers.Dropout(0.0)(k.layers.Dense(5, "tanh")(x))))


def masked(k):
    x = k.Input((6,), batch_size=8, dtype="int32")
    h = k.layers.Embedding(7, 4, mask_zero=True)(x)
    return k.Model(x, k.layers.Dense(3)(k.layers.LSTM(5)(h)))


@pytest.mark.parametrize("build", [without_input, with_batch_size, masked], ids=lambda f: f.__name__)
@pytest.mark.parametrize("module, ending", FILES, ids=[f"{m.__name__}{e}" for m, e in FILES])
def test_any_batch_size(module, ending, build, tmp_path):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 6)), random.normal(size=(20, 3))
    if build is masked:
        x = random.integers(0, 7, (20, 6)).astype("int32")
    with floatx("float64"):
        theirs = build(module)
        theirs.compile(module.optimizers.SGD(0.1, momentum=0.9), "mean_squared_error")
        theirs.fit(x[:8], y[:8], batch_size=8, epochs=1, verbose=0)
        path = tmp_path / f"m{ending}"
        theirs.save(path)
        run = core.resume(str(path))
        for rows in (slice(0, 8), slice(8, 13), slice(13, 20)):
            theirs.train_on_batch(x[rows], y[rows])
            run.train_step([torch.from_numpy(x[rows])], [torch.from_numpy(y[rows])])
        for name, w in zip(run.trainable(), theirs.trainable_variables, strict=True):
            # Three steps; each rounds a reduction over at most 20 rows.
            np.testing.assert_allclose(run.to_source(name), w.numpy(), rtol=1e-11, atol=1e-13, err_msg=name)
        (ours,) = run.predict([torch.from_numpy(x[:5])])
        wanted = theirs(x[:5]).numpy()
        np.testing.assert_allclose(ours, wanted, rtol=1e-11, atol=1e-13)


def test_states_bind_the_batch_size(tmp_path):
    model = keras.Sequential([keras.Input((4, 3), batch_size=2), keras.layers.LSTM(3, stateful=True)])
    model.compile("sgd", "mean_squared_error")
    model.save(tmp_path / "m.keras")
    run = core.resume(str(tmp_path / "m.keras"))
    run.predict([torch.zeros(2, 4, 3)])
    with pytest.raises(core.Error, match="2, 4, 3"):
        run.predict([torch.zeros(5, 4, 3)])
