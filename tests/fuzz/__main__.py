"""Fuzz the HTTP parser path: python -m tests.fuzz [--seconds N] [--corpus FOLDER]. Needs atheris.

Inputs that find something new go to FOLDER (default: a temporary one; tests/fuzz/corpus/http is what is kept and
is always read). A failure prints its input and stays in the folder as crash-*.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

KEPT = Path(__file__).parent / "corpus" / "http"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", default=None)
    said = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["headwater.edge"]):
        from tests.fuzz.http_target import check

    folder = said.corpus or tempfile.mkdtemp(prefix="fuzz-http-")
    options = [
        sys.argv[0], folder, str(KEPT), f"-max_total_time={said.seconds}", "-max_len=4096", f"-artifact_prefix={folder}/",
        "-print_final_stats=1", f"-dict={KEPT.parent / 'http.dict'}",
    ]
    atheris.Setup(options, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
