"""What a run hands to others: its optimizer's state_dict, its checkpoints, its model, the file it came from."""

import os

import midstream
import numpy as np
import pytest
import torch
from helpers.oracle import floatx, keras


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model.keras"
    random = np.random.default_rng(0)
    with floatx("float64"):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.train_on_batch(random.normal(size=(8, 3)), random.normal(size=(8, 1)))
        model.save(path)
    np.savez(path.with_name("data.npz"), x=random.normal(size=(20, 3)), y=random.normal(size=(20, 1)))
    return path


def steps(run, n, seed):
    random = np.random.default_rng(seed)
    for _ in range(n):
        x, y = (torch.from_numpy(random.normal(size=(8, k))) for k in (3, 1))
        run.optimizer.zero_grad()
        ((run.model(x) - y) ** 2).mean().backward()
        run.optimizer.step()


def test_an_ordinary_checkpoint_of_pytorch_holds_the_slots(saved, tmp_path):
    run = midstream.resume(saved)
    steps(run, 3, 1)
    torch.save({"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}, tmp_path / "c.pt")
    steps(run, 3, 2)
    other = midstream.resume(saved)
    held = torch.load(tmp_path / "c.pt", weights_only=True)
    other.model.load_state_dict(held["model"])
    other.optimizer.load_state_dict(held["optimizer"])
    assert other.step == 4
    steps(other, 3, 2)
    for name, value in run.core.tensors().items():
        assert torch.equal(value, other.core.tensors()[name]), name
    del held["optimizer"]["midstream"]["optimizer/iteration"]
    with pytest.raises(midstream.MismatchError, match="optimizer/iteration"):
        other.optimizer.load_state_dict(held["optimizer"])
    with pytest.raises(midstream.UsageError, match="one group"):
        other.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})


def test_the_model_of_a_run_stays_where_it_is(saved):
    import copy

    run = midstream.resume(saved)
    assert run.model.to("cpu") is run.model
    with pytest.raises(midstream.UsageError, match="shares its tensors"):
        run.model.float()
    moved = copy.deepcopy(run.model).float()
    assert {p.dtype for p in moved.parameters()} == {torch.float32}
    assert {p.dtype for p in run.model.parameters()} == {torch.float64}


@pytest.mark.parametrize("other", [{"batch_size": 5}, {"seed": 2}, {"shuffle": False}], ids=str)
def test_a_checkpoint_goes_on_only_with_the_same_batches(saved, tmp_path, other):
    options = {"batch_size": 4, "seed": 1, "progress": False, "checkpoint_dir": str(tmp_path), "checkpoint_every": 1}
    midstream.resume(saved).fit(saved.with_name("data.npz"), steps=3, **options)
    run = midstream.resume(saved)
    before = {k: v.clone() for k, v in run.core.tensors().items()}
    with pytest.raises(midstream.MismatchError, match=next(iter(other)).replace("_", " ")):
        run.fit(saved.with_name("data.npz"), steps=6, resume=True, **{**options, **other})
    for name, value in before.items():
        assert torch.equal(value, run.core.tensors()[name]), name
    run.fit(saved.with_name("data.npz"), steps=6, resume=True, **options)
    assert run.step == 7


def test_a_checkpoint_with_damaged_metadata_is_refused(saved, tmp_path):
    run = midstream.resume(saved)
    run.core.save_checkpoint(str(tmp_path / "a.safetensors"))
    data = (tmp_path / "a.safetensors").read_bytes()
    for old, new in ((b'"epoch":"0"', b'"epoch":"x"'), (b'"history":"[]"', b'"history":"[{"')):
        assert data.count(old) == 1
        (tmp_path / "b.safetensors").write_bytes(data.replace(old, new))
        with pytest.raises(midstream.BadFileError):
            run.core.load_checkpoint(str(tmp_path / "b.safetensors"))


def test_a_relative_name_is_found_again_from_another_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(saved.parent)
    run = midstream.resume(saved.name)
    os.chdir(tmp_path)
    midstream.save(run, tmp_path / "out.keras")
    assert (tmp_path / "out.keras").exists()


def test_exact_random_is_refused_where_source_cannot_keep_it(saved, tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=1)]).save(tmp_path / "random.keras")
    with pytest.raises(midstream.UnsupportedError, match="random layers"):
        midstream.load(tmp_path / "random.keras", exact_random=True)
    midstream.load(saved, exact_random=True)
