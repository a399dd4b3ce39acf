"""Configs made to exhaust the stack or the memory are refused at once, and deep ones that Keras opens are opened."""

import json
import zipfile

import midstream
import pytest
import torch
from helpers.oracle import keras


def with_config(source, path, config):
    """A copy of the archive with another config.json, deflated."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, config if name == "config.json" else old.read(name))


def saved(path):
    keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="inside")]).save(path)
    return json.loads(zipfile.ZipFile(path).read("config.json"))


@pytest.mark.parametrize("levels", [700, 20_000, 1_000_000])
def test_deep_nesting_is_refused(levels, tmp_path):
    config = saved(tmp_path / "m.keras")
    config["config"]["layers"][1]["config"]["extra"] = "HERE"
    text = json.dumps(config).replace('"HERE"', "[" * levels + "]" * levels)
    with_config(tmp_path / "m.keras", tmp_path / "deep.keras", text)
    with pytest.raises(midstream.Error, match=r"config\.json.*nested more than 600 levels"):
        midstream.load(tmp_path / "deep.keras")


def test_brackets_in_strings_are_no_nesting(tmp_path):
    config = saved(tmp_path / "m.keras")
    config["config"]["layers"][1]["config"]["name"] = '[{"\\' * 1000
    with_config(tmp_path / "m.keras", tmp_path / "text.keras", json.dumps(config))
    midstream.load(tmp_path / "text.keras")(torch.zeros(1, 2))


def test_a_config_that_inflates_is_refused_by_its_size(tmp_path):
    config = json.dumps(saved(tmp_path / "m.keras"))
    with_config(tmp_path / "m.keras", tmp_path / "bomb.keras", config + " " * (70 << 20))
    assert (tmp_path / "bomb.keras").stat().st_size < 1 << 20
    with pytest.raises(midstream.Error, match="bytes of configuration, the limit is"):
        midstream.load(tmp_path / "bomb.keras")


def test_thirty_nested_models_open(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    for _ in range(30):
        model = keras.Sequential([keras.Input((2,)), model])
    model.save(tmp_path / "m.keras")
    ours = midstream.load(tmp_path / "m.keras")
    data = torch.ones(3, 2)
    # One product of two numbers and a sum.
    torch.testing.assert_close(ours(data), torch.from_numpy(model(data.numpy()).numpy()), rtol=1e-6, atol=1e-6)
