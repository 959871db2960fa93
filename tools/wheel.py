"""Makes wheels that hold the compiled modules, when HEADWATER_COMPILE is 1; without it wheels are pure Python."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["CompiledWheel"]

REQUIRES = ["mypy>=2.4,<3", "setuptools>=65", "apsw>=3.53.0", "click>=8.1", "msgspec>=0.22", "joserfc>=1.4"]


class CompiledWheel(BuildHookInterface[Any]):
    """Adds what `tools/compiled.py` makes. Needs a C compiler; the build ends with its words where there is none."""

    def dependencies(self) -> list[str]:
        """Return what a build of its own environment installs first."""
        return REQUIRES if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say which platform and Python the wheel is for."""
        if version != "standard" or not _wanted():
            return
        folder = _compiled(Path(self.root))
        for file in folder.rglob("*.so"):
            build_data["force_include"][str(file)] = str(file.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _wanted() -> bool:
    return os.environ.get("HEADWATER_COMPILE") == "1"


def _compiled(root: Path) -> Path:
    """Run the compiling beside this file; a hook is loaded by its path and has no package."""
    found = importlib.util.spec_from_file_location("headwater_compiled", root / "tools" / "compiled.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    folder: Path = module.compiled()
    return folder
