"""The generated source as a live nn.Module: tracebacks show its lines, it copies and pickles like any module."""

from __future__ import annotations

import hashlib
import linecache
import os
import pathlib
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from midstream import _core


def load(
    path: str | os.PathLike,
    *,
    signature: str = "",
    function: str = "",
    shapes: Mapping[str, Sequence[int]] | None = None,
    exact_random: bool = False,
    architecture: str | os.PathLike = "",
    train_step: str = "refuse",
) -> nn.Module:
    """The model in `path` as a trainable torch.nn.Module, in eval mode, its weights loaded.

    It takes and returns what the TensorFlow model did (images as [batch, height, width, channels]). Dropout is
    nn.Dropout with torch's random numbers; `exact_random` refuses a model with random layers instead. Raises
    midstream.Error.

    Of a TensorFlow file it is the default signature, or `signature` (which may also name tensors of the graph: "pred",
    "logits:0,loss:0"), or the concrete function named `function`. A frozen graph's weights are parameters. `shapes`
    says, by input, what a file leaves open, or what it must be where a graph runs for some sizes only.

    `architecture`: for an .h5 file that holds weights alone, the model's configuration: a .json of model.to_json(), or a
    .keras or .h5 file of the same model. `train_step`: as for midstream.resume.
    """
    if train_step not in ("refuse", "ignore"):
        raise _core.UsageError(f"train_step: '{train_step}' is no choice. Give \"refuse\" or \"ignore\".")
    source = Source(
        str(pathlib.Path(path).absolute()),
        signature,
        function,
        {k: list(v) for k, v in (shapes or {}).items()},
        str(pathlib.Path(architecture).absolute()) if architecture else "",
        train_step == "ignore",
    )
    model = build(_core.convert(source.path, source.which(), exact_random))
    model.midstream_source = source
    return model


class Source(NamedTuple):
    """What a module was made from; midstream.save goes back there."""

    path: str
    signature: str
    function: str
    shapes: dict[str, list[int]]
    architecture: str = ""
    ignore_train_step: bool = False

    def which(self) -> _core.OpenOptions:
        return _core.OpenOptions(
            self.signature, self.function, self.shapes, self.architecture, self.ignore_train_step
        )


def save_module(model: nn.Module, path: str | os.PathLike) -> None:
    source = getattr(model, "midstream_source", None)
    if not isinstance(source, Source):
        raise _core.UsageError("save: this module does not come from midstream.load, or was made from a run.")
    tensors = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    values = {name: tensors[key] for key, name in model.midstream_variables.items()}
    _core.save_variables(source.path, source.which(), values, os.fspath(path))


def build(converted: Mapping[str, Any]) -> nn.Module:
    """An instance of the generated class whose parameters and buffers are the tensors given (shared, not copied)."""
    cls = class_of(converted["source"], converted["class_name"])
    with torch.device("meta"):
        model = cls()
    for key, tensor in converted["tensors"].items():
        place(model, key, tensor)
    made = [name for name, buffer in model.named_buffers() if buffer.is_meta]
    if made:  # in no file, but made by the constructor: num_batches_tracked, a bias that stays zero
        values = dict(cls().named_buffers())
        for name in made:
            place(model, name, values[name])
    model.midstream_variables = dict(converted["variables"])
    return model.eval()


def place(model: nn.Module, key: str, tensor: torch.Tensor) -> None:
    *path, name = key.split(".")
    owner = model.get_submodule(".".join(path))
    if name in owner._parameters:
        # The very tensor of the C++ core, not an alias: the core may move small variables into one buffer.
        tensor.__class__ = nn.Parameter
        owner._parameters[name] = tensor
    else:
        owner._buffers[name] = tensor


def class_of(source: str, class_name: str) -> type[nn.Module]:
    """The class that the source defines; one module object for each source."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    name = f"midstream._generated_{digest}"
    module = sys.modules.get(name)
    if module is None:
        file = f"<midstream {class_name} {digest}>"
        module = types.ModuleType(name)
        module.__file__ = file
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        sys.modules[name] = module
        exec(compile(source, file, "exec"), module.__dict__)  # our own text, never the file's
        cls = getattr(module, class_name)
        cls.__reduce_ex__ = _reduce
        cls._apply = _apply
        cls.midstream_text = source
    return getattr(module, class_name)


def _reduce(self: nn.Module, protocol: int):  # noqa: ARG001
    """Pickles carry the source, so that they open in a process that never saw the file."""
    state = {k: v for k, v in self.__dict__.items() if k != "midstream_of_run"}  # a copy has tensors of its own
    return _rebuild, (type(self).midstream_text, type(self).__name__), state


def _apply(self: nn.Module, fn, recurse: bool = True) -> nn.Module:
    """What to(), float(), cuda() ... call: a run's model shares its tensors with the run and stays as it is."""
    if not self.__dict__.get("midstream_of_run"):
        return nn.Module._apply(self, fn, recurse)
    for tensor in (*self.parameters(), *self.buffers()):
        if fn(tensor) is not tensor:
            raise _core.UsageError(
                "run.model shares its tensors with the run and cannot be moved. "
                "Give midstream.resume(..., device=, dtype=), or move copy.deepcopy(run.model)."
            )
    return self


def _rebuild(source: str, class_name: str) -> nn.Module:
    cls = class_of(source, class_name)
    return cls.__new__(cls)
