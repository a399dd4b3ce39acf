"""midstream convert on whole models: the printed source is the model, trains as it does, and is fit to be read."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import models

from emit.emitted import emitted_text, flat, same_as_keras

TOKENS = np.array(
    [[3, 7, 0, 9, 2, 0, 0], [1, 0, 0, 0, 0, 0, 0], [4, 5, 6, 7, 8, 9, 10], [0, 0, 0, 0, 0, 0, 0]], "int32"
)
# 1e-8: what rounding makes of 50 layers of statistics of a batch of 3, where TensorFlow sums in another order.
CASES = {
    "digits": {},
    "resnet50": {"tol": 1e-8},
    "mobilenet_v2": {"tol": 1e-8},
    "bilstm": {"inputs": [TOKENS]},
    "transformer": {"inputs": [TOKENS]},
    "unet": {},
    "two_headed": {},
    "wavenet": {"length": 11},
    "grus": {},
}


@pytest.mark.parametrize("name", CASES)
def test_is_the_model_and_trains_as_it_does(midstream, tmp_path, name):
    emitted = same_as_keras(midstream, tmp_path, getattr(models, name), **CASES[name])
    model = emitted.load()
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    again.load_state_dict(model.state_dict())
    check_text(emitted_text(tmp_path))


def check_text(text: str) -> None:
    lines = text.splitlines()
    assert len(lines) < 200
    assert max(map(len, lines)) <= 120
    # Nothing but torch and safetensors (and the standard library).
    imports = {line.split()[1].split(".")[0] for line in lines if re.match(r"(from|import) ", line)}
    assert imports <= {"torch", "safetensors", "pathlib", "math"}
    # No block twice: not even two classes that differ in numbers only.
    bodies = re.split(r"^class \w+", text, flags=re.M)[1:]
    plain = [re.sub(r"\d+|\"\"\".*?\"\"\"", "", body, flags=re.S) for body in bodies]
    assert len(set(plain)) == len(plain)


def test_resnet50_is_what_one_would_have_written(midstream, tmp_path):
    same_as_keras(midstream, tmp_path, models.resnet50, step=False, tol=1e-9)
    text = emitted_text(tmp_path)
    assert text.count("permute(") == 1
    assert "self.conv2 = nn.Sequential(\n" in text
    assert "*[IdentityBlock(256, 64) for _ in range(2)]" in text
    assert len(re.findall(r"^class \w+Block\(nn.Module\)", text, re.M)) == 2


def test_transformer_block_is_one_class(midstream, tmp_path):
    same_as_keras(midstream, tmp_path, models.transformer, inputs=[TOKENS], step=False)
    text = emitted_text(tmp_path)
    assert text.count("(nn.Module)") == 3
    assert "nn.Sequential(*[MultiHeadAttentionBlock() for _ in range(4)])" in text


def test_shared_tower_is_one_module(midstream, tmp_path):
    emitted = same_as_keras(midstream, tmp_path, models.two_headed, step=False)
    text = emitted_text(tmp_path)
    assert text.count("self.tower(") == 2
    assert (
        sum(name.startswith("tower.") and name.endswith(".weight") for name, _ in emitted.load().named_parameters())
        == 3
    )


@pytest.mark.parametrize("name", ["digits", "transformer", "bilstm", "unet"])
def test_compiles_without_a_graph_break(midstream, tmp_path, name):
    emitted = same_as_keras(midstream, tmp_path, getattr(models, name), step=False, **CASES[name])
    model = emitted.load().eval()
    inputs = [torch.from_numpy(x) for x in CASES[name].get("inputs", [])] or [
        torch.rand(3, *((8, 8, 1) if name == "digits" else (16, 16, 3)), dtype=torch.float64)
    ]
    torch.compiler.reset()
    with torch.no_grad():
        compiled = flat(torch.compile(model, fullgraph=True, backend="aot_eager")(*inputs))
        for a, b in zip(compiled, flat(model(*inputs)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet50", "bilstm", "transformer"])
def test_runs_where_nothing_of_ours_is(midstream, tmp_path, name):
    """In a process that finds neither midstream nor TensorFlow nor Keras."""
    options = {k: v for k, v in CASES[name].items() if k != "tol"}
    emitted = same_as_keras(midstream, tmp_path, getattr(models, name), step=False, tol=1e-9, **options)
    inputs = [torch.from_numpy(x) for x in options.get("inputs", [])] or [torch.rand(2, 64, 64, 3, dtype=torch.float64)]
    with torch.no_grad():
        torch.save((inputs, flat(emitted.load().eval()(*inputs))), tmp_path / "io.pt")
    script = tmp_path / "alone.py"
    script.write_text(
        "import sys\n"
        "for name in ('midstream', 'tensorflow', 'keras', 'tf_keras'):\n"
        "    sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(tmp_path / 'out')!r})\n"
        "import torch\nfrom model import load\n"
        f"inputs, expected = torch.load({str(tmp_path / 'io.pt')!r})\n"
        "with torch.no_grad():\n    y = load().eval()(*inputs)\n"
        "y = y if isinstance(y, tuple) else (y,)\n"
        "assert all(torch.equal(a, b) for a, b in zip(y, expected))\n"
    )
    done = subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
