"""No name of Keras' public API that had a lowering has lost it: docs/coverage.md says which had none."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("MIDSTREAM_BUILD", str(ROOT / "build")) + "/midstream"


def test_no_name_has_fallen_back():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "coverage.py", "--check", "--midstream", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
