"""Models inside models: compiled themselves, frozen after their training, named like one another."""

import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras, tf_keras
from midstream import _core as core

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])
endings = pytest.mark.parametrize("ending", [".keras", ".h5"])


def generator(k):
    return k.Sequential([k.Input((4,)), k.layers.Dense(6, "tanh"), k.layers.Dense(5)], name="g")


def discriminator(k):
    model = k.Sequential([k.Input((5,)), k.layers.Dense(6, "tanh"), k.layers.Dense(1, "sigmoid")], name="d")
    model.compile(k.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


def data(features, n=8, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, features)), random.integers(0, 2, (n, 1)).astype(float)


def goes_on(model, path, features):
    """The run that was never interrupted, beside the one that goes on from the file."""
    run = core.resume(str(path))
    for i in range(3):
        x, y = data(features, seed=10 + i)
        model.train_on_batch(x, y)
        run.train_step([torch.from_numpy(x)], [torch.from_numpy(y)])
    for name, w in zip(run.trainable(), model.trainable_variables, strict=True):
        # Three steps of float64 reductions over 8 rows, whose rounding Adam's ratio may enlarge.
        np.testing.assert_allclose(run.to_source(name), w.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
    return run


@both
@endings
@pytest.mark.parametrize("frozen", [True, False])
def test_a_gan(module, ending, frozen, tmp_path):
    """The combined net holds a discriminator that was compiled and trained itself."""
    with floatx("float64"):
        d = discriminator(module)
        d.train_on_batch(*data(5))
        d.trainable = not frozen
        x = module.Input((4,))
        gan = module.Model(x, d(generator(module)(x)))
        gan.compile(module.optimizers.Adam(0.01), "binary_crossentropy")
        gan.train_on_batch(*data(4, seed=1))
        gan.save(tmp_path / f"gan{ending}")
        goes_on(gan, tmp_path / f"gan{ending}", 4)


@both
@endings
def test_a_discriminator_frozen_after_its_training(module, ending, tmp_path):
    """Its optimizer has slots for weights that are not trainable now. Nothing trains until somebody says so, and what
    the file holds stays."""
    with floatx("float64"):
        d = discriminator(module)
        d.train_on_batch(*data(5))
        d.layers[-1].trainable = False
        d.save(tmp_path / f"d{ending}")
        run = core.resume(str(tmp_path / f"d{ending}"))
        assert run.iterations == 1
        assert len(run.trainable()) == 2
        for i, name in enumerate(run.trainable()):
            for slot in ("momentum", "velocity"):
                ours = run.to_source(f"optimizer/{name}/{slot}")
                if module is keras:
                    theirs = d.optimizer.variables[2 + 2 * i + (slot == "velocity")]
                else:
                    theirs = d.optimizer.variables[1 + 2 * i + (slot == "velocity")]
                np.testing.assert_array_equal(ours, theirs.numpy())


def test_names_with_slashes(tmp_path):
    """A model "br" with a layer "inner" beside a model "br/inner", and names that are Python's words. Keras 3 takes no
    slashes in names, and the .h5 writer of tf_keras cannot make both groups."""
    with floatx("float64"):
        k = tf_keras

        def branch(name, inner):
            x = k.Input((4,))
            return k.Model(x, k.layers.Dense(3, name="self")(k.layers.Dense(5, "tanh", name=inner)(x)), name=name)

        x = k.Input((4,), name="import")
        h = k.layers.Add(name="class")([branch("br", "inner")(x), branch("br/inner", "lambda")(x)])
        model = k.Model(x, k.layers.Dense(1, "sigmoid", name="br/self")(h))
        model.compile(k.optimizers.Adam(0.01), "binary_crossentropy")
        model.train_on_batch(*data(4))
        model.save(tmp_path / "m.keras")
        goes_on(model, tmp_path / "m.keras", 4)
