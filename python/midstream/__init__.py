"""midstream: goes on training TensorFlow models in PyTorch.

    model = midstream.load("model.keras")     # a torch.nn.Module made of nn.Conv2d, nn.Linear, ...; weights loaded
    run = midstream.resume("model.keras")     # the training, where TensorFlow stopped
    run.fit("train.npz", epochs=5)
    midstream.save(run, "model.keras")        # or save(model, ...): into a SavedModel or frozen graph as well

Nothing of a file is ever executed, and no TensorFlow is needed.
"""

from __future__ import annotations

import torch  # noqa: F401  (the extension module needs its libraries loaded)

from midstream import _core
from midstream._core import (
    BadDataError,
    BadFileError,
    Error,
    InternalError,
    MismatchError,
    UnsupportedError,
    UsageError,
)
from midstream._module import load
from midstream._register import register
from midstream._run import Optimizer, Run, resume, save, strings

__all__ = [
    "BadDataError",
    "BadFileError",
    "Error",
    "InternalError",
    "MismatchError",
    "Optimizer",
    "Run",
    "UnsupportedError",
    "UsageError",
    "inspect",
    "load",
    "register",
    "resume",
    "save",
    "strings",
]
__version__ = "0.1.0"


def inspect(path: str, architecture: str = "") -> dict:
    """What is in a file, as `midstream inspect --json` prints it. `architecture`: as for midstream.load."""
    import json
    import subprocess

    from midstream.__main__ import executable

    command = [str(executable()), "inspect", str(path), "--json"]
    if architecture:
        command += ["--architecture", str(architecture)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Error(done.stderr.strip().removeprefix("midstream: "))
    return json.loads(done.stdout)


_ = _core
