"""The generated source as a live nn.Module: tracebacks show its lines, it copies and pickles like any module."""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
import types

import torch
from torch import nn

from midstream import _core


def load(path: str | os.PathLike, *, signature: str = "", exact_random: bool = False) -> nn.Module:
    """The model in `path` as a trainable torch.nn.Module, in eval mode, its weights loaded.

    It takes and returns what the TensorFlow model did (images as [batch, height, width, channels]). Dropout is nn.Dropout
    unless `exact_random` asks for TensorFlow's own random bits. Raises midstream.Error.
    """
    return build(_core.convert(os.fspath(path), signature, exact_random))


def build(converted: dict) -> nn.Module:
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
        cls.midstream_source = source
    return getattr(module, class_name)


def _reduce(self: nn.Module, protocol: int):  # noqa: ARG001
    """Pickles carry the source, so that they open in a process that never saw the file."""
    return _rebuild, (type(self).midstream_source, type(self).__name__), self.__dict__


def _rebuild(source: str, class_name: str) -> nn.Module:
    cls = class_of(source, class_name)
    return cls.__new__(cls)
