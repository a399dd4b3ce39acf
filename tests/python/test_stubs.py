"""python/midstream/_core.pyi says of the extension module what is true: names, arguments, defaults, results."""

from __future__ import annotations

import ast
import inspect
import pathlib

import pytest

STUB = pathlib.Path(__file__).parents[2] / "python" / "midstream" / "_core.pyi"


@pytest.fixture(scope="module")
def core():
    from midstream import _core

    return _core


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def stub_names(body: list[ast.stmt], prefix: str = "") -> dict[str, ast.AST]:
    """Everything public, dotted; setters as "<property>.setter"."""
    found: dict[str, ast.AST] = {}
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or not is_public(node.name):
            continue
        name = prefix + node.name
        if isinstance(node, ast.FunctionDef) and any(isinstance(d, ast.Attribute) for d in node.decorator_list):
            name += ".setter"
        assert name not in found, f"{name} stands in the stub twice"
        found[name] = node
        if isinstance(node, ast.ClassDef):
            found |= stub_names(node.body, name + ".")
    return found


def real_names(owner: object, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in vars(owner).items():
        if not is_public(key) or (key == "__init__" and not hasattr(value, "__func__")):  # object's own: cannot be made
            continue
        name = prefix + key
        found[name] = value
        if isinstance(value, property) and value.fset:
            found[name + ".setter"] = value
        if inspect.ismodule(value) or (inspect.isclass(value) and not issubclass(value, Exception)):
            found |= real_names(value, name + ".")
    return found


def signature(text: str) -> ast.FunctionDef:
    """The first line of a docstring of pybind11's, "fit(self: midstream._core.Run, data: str, ...) -> list"."""
    line = text.splitlines()[0].replace("midstream::", "midstream._core.")
    line = line if line.split("(")[0] else "value" + line  # of a property
    (node,) = ast.parse(f"def {line}: ...").body
    assert isinstance(node, ast.FunctionDef)
    return node


def arguments(node: ast.FunctionDef, of_method: bool) -> list[tuple[str | None, object]]:
    """(name, default) of every argument but self; the name is None where a caller cannot use it."""
    args = node.args
    assert not (args.vararg or args.kwarg or args.kwonlyargs)
    both = [*args.posonlyargs, *args.args]
    defaults = [inspect.Parameter.empty] * (len(both) - len(args.defaults)) + [
        ast.literal_eval(d) for d in args.defaults
    ]
    out = []
    for arg, default in list(zip(both, defaults, strict=True))[of_method:]:
        positional = arg in args.posonlyargs or (arg.arg.startswith("arg") and arg.arg[3:].isdigit())
        out.append((None if positional else arg.arg, default))
    return out


def kind(annotation: ast.expr) -> str:
    """A type as text, short enough to compare: pybind11 says `torch.Tensor` and `midstream._core.Run`."""
    return ast.unparse(annotation).replace("torch.", "").replace("midstream._core.", "")


def test_every_name_is_in_both(core):
    stub, real = stub_names(ast.parse(STUB.read_text()).body), real_names(core)
    assert sorted(stub) == sorted(real)


def test_classes_have_the_same_bases(core):
    for name, node in stub_names(ast.parse(STUB.read_text()).body).items():
        if isinstance(node, ast.ClassDef) and name != "probe":
            base = getattr(core, name).__base__
            wanted = [] if base.__name__ in ("object", "pybind11_object") else [base.__name__]
            assert [ast.unparse(b) for b in node.bases] == wanted, name


def test_arguments_defaults_and_results(core):
    stub, real = stub_names(ast.parse(STUB.read_text()).body), real_names(core)
    compared = 0
    for name, node in stub.items():
        if not isinstance(node, ast.FunctionDef):
            continue
        value = real[name]
        setter = name.endswith(".setter")
        text = (value.fset if setter else value.fget).__doc__ if isinstance(value, property) else value.__doc__
        theirs = signature(text)
        of_method = "." in name and not name.startswith("probe.")
        if setter:  # called as an assignment: its argument's name is nobody's
            assert len(arguments(node, True)) == len(arguments(theirs, True)) == 1
        else:
            assert arguments(node, of_method) == arguments(theirs, of_method), name
        result, wanted = kind(node.returns), kind(theirs.returns)
        if wanted == "dict" and result.startswith("_"):  # a TypedDict of the stub's own
            continue
        assert result == wanted or (wanted in ("list", "dict") and result.startswith(wanted + "[")), name
        compared += 1
    assert compared > 30


def test_the_package_says_that_it_is_typed(core):
    beside = pathlib.Path(core.__file__).parent
    assert (beside / "_core.pyi").exists() and (beside / "py.typed").exists()
