"""A class of the user's is never taken for Keras' own of the same name, wherever a config holds one."""

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import keras, tf_keras
from midstream import _core as core

both = pytest.mark.parametrize("module", [keras, tf_keras], ids=["keras3", "tf_keras"])


def user_classes(k, package):
    """Each computes otherwise than Keras' class of this name."""
    register = k.saving.register_keras_serializable(package) if package else lambda c: c

    class LayerNormalization(k.layers.Layer):
        def call(self, x):
            return x * 2.0

    class ReLU(k.layers.Layer):
        def call(self, x):
            return -x

    class L2(k.regularizers.Regularizer):
        def __call__(self, x):
            return 3.0 * k.backend.sum(x) if k is tf_keras else 3.0 * k.ops.sum(x)

        def get_config(self):
            return {}

    class NonNeg(k.constraints.Constraint):
        def __call__(self, w):
            return w * 0.5

    class MeanSquaredError(k.losses.Loss):
        def call(self, y_true, y_pred):
            return 7.0 * (y_true - y_pred)

    class CosineDecay(k.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):  # noqa: ARG002
            return 0.5

        def get_config(self):
            return {}

    class SGD(k.optimizers.SGD):
        pass

    own = [LayerNormalization, ReLU, L2, NonNeg, MeanSquaredError, CosineDecay, SGD]
    return {c.__name__: register(c) for c in own}


def model_with(k, name, cls):
    """A model that uses the user's class in one place, compiled and saved-ready."""
    x = k.Input((4,))
    options = {}
    if name == "ReLU":
        options["activation"] = cls()
    if name == "L2":
        options["kernel_regularizer"] = cls()
    if name == "NonNeg":
        options["kernel_constraint"] = cls()
    h = k.layers.Dense(3, **options)(x)
    if name == "LayerNormalization":
        h = cls()(h)
    model = k.Model(x, h)
    rate = cls() if name == "CosineDecay" else 0.1
    optimizer = (cls if name == "SGD" else k.optimizers.SGD)(rate)
    model.compile(optimizer, cls() if name == "MeanSquaredError" else "mean_squared_error")
    return model


NAMES = list(user_classes(keras, None))


@both
@pytest.mark.parametrize("package", [None, "mine"])
@pytest.mark.parametrize("name", NAMES)
def test_a_class_with_the_name_of_one_of_keras(module, name, package, tmp_path):
    model = model_with(module, name, user_classes(module, package)[name])
    model.save(tmp_path / "m.keras")
    with pytest.raises(core.UnsupportedError, match=f"{package or 'unregistered'}>{name}"):
        core.resume(str(tmp_path / "m.keras")).train_step([torch.zeros(2, 4)], [torch.zeros(2, 3)])


@both
@pytest.mark.parametrize("name", NAMES)
def test_the_same_model_with_the_class_of_keras_opens(module, name, tmp_path):
    k = module
    own = {
        "LayerNormalization": k.layers.LayerNormalization,
        "ReLU": k.layers.ReLU,
        "L2": k.regularizers.L2,
        "NonNeg": k.constraints.NonNeg,
        "MeanSquaredError": k.losses.MeanSquaredError,
        "CosineDecay": lambda: k.optimizers.schedules.CosineDecay(0.1, 10),
        "SGD": k.optimizers.SGD,
    }[name]
    model_with(k, name, own).save(tmp_path / "m.keras")
    assert core.resume(str(tmp_path / "m.keras")).can_train


@both
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_model_with_a_train_step_of_its_own(module, ending, tmp_path):
    @module.saving.register_keras_serializable("mine")
    class Trained(module.Model):
        def train_step(self, data):  # noqa: ARG002
            raise AssertionError("another training")

    x = module.Input((4,))
    model = Trained(x, module.layers.Dense(3)(x))
    model.compile("adam", "mean_squared_error")
    model.save(tmp_path / f"m{ending}")
    for open_it in (core.resume, midstream.load):
        with pytest.raises(midstream.Error, match="Trained' is a class of your own"):
            open_it(str(tmp_path / f"m{ending}"))
    # What the message says to do works.
    plain = module.Model(model.inputs, model.outputs)
    plain.compile(model.optimizer, "mean_squared_error")
    plain.save(tmp_path / f"plain{ending}")
    ours = midstream.load(str(tmp_path / f"plain{ending}"))
    data = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(ours(torch.from_numpy(data)).detach(), plain(data).numpy(), rtol=1e-5)


@both
@pytest.mark.parametrize("base", ["Model", "Sequential"])
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_train_step_ignore_trains_with_the_compiled_loss(module, base, ending, tmp_path):
    class Trained(getattr(module, base)):
        def train_step(self, data):  # noqa: ARG002
            raise AssertionError("another training")

    x = module.Input((4,))
    layer = module.layers.Dense(3)
    model = Trained([x, layer]) if base == "Sequential" else Trained(x, layer(x))
    model.compile(module.optimizers.Adam(0.1), "mean_squared_error")
    model.save(tmp_path / f"m{ending}")
    data, target = np.ones((2, 4), np.float32), np.zeros((2, 3), np.float32)
    run = midstream.resume(tmp_path / f"m{ending}", train_step="ignore")
    run.core.train_step([torch.from_numpy(data)], [torch.from_numpy(target)])
    midstream.save(run, tmp_path / f"out{ending}")
    plain = module.Sequential([module.Input((4,)), module.layers.Dense(3)])
    plain.set_weights(model.get_weights())
    plain.compile(module.optimizers.Adam(0.1), "mean_squared_error")
    plain.train_on_batch(data, target)
    # One step of Adam in float32: the kernel's rounding, a few units in the last place of the weights.
    back = module.models.load_model(tmp_path / f"out{ending}", custom_objects={"Trained": Trained})
    for ours, theirs in zip(back.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_choice_of_train_step_that_is_none(tmp_path):
    with pytest.raises(midstream.Error, match="'maybe' is no choice"):
        midstream.resume(tmp_path / "m.keras", train_step="maybe")


def test_a_dtype_policy_with_the_name_of_one_of_keras(tmp_path):
    class DTypePolicy(keras.dtype_policies.DTypePolicy):
        pass

    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=DTypePolicy("float32"))]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(midstream.Error, match="unregistered>DTypePolicy"):
        midstream.load(tmp_path / "m.keras")
