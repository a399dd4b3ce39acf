"""The `midstream` command of the Python package: hands over to the executable that comes with it."""

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


def main() -> None:
    program = executable()
    os.execv(program, [str(program), *sys.argv[1:]])


if __name__ == "__main__":
    main()
