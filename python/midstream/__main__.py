"""The `midstream` command of the Python package: hands over to the executable that comes with it.

With --python FILE it stays in this process: FILE registers the user's own classes (midstream.register) first.
"""

from __future__ import annotations

import os
import pathlib
import sys


def executable() -> pathlib.Path:
    package = pathlib.Path(__file__).parent
    # Installed: midstream/bin/midstream. In a build directory: build/python/midstream and build/midstream.
    for candidate in (package / "bin" / "midstream", package.parent.parent / "midstream"):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise SystemExit("midstream: the executable is missing from this installation. Install the package again.")


def python_file(arguments: list[str]) -> str | None:
    for i, argument in enumerate(arguments):
        if argument.startswith("--python="):
            return argument.partition("=")[2]
        if argument == "--python" and i + 1 < len(arguments):
            return arguments[i + 1]
    return None


def main() -> None:
    if file := python_file(sys.argv[1:]):
        import runpy

        from midstream import _core

        runpy.run_path(file)
        raise SystemExit(_core.command_line(["midstream", *sys.argv[1:]]))
    program = executable()
    os.execv(program, [str(program), *sys.argv[1:]])


if __name__ == "__main__":
    main()
