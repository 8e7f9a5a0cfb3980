"""Builds the kernels' native library where there is a compiler; without one, all else installs.

Everything else about the package is in pyproject.toml.
"""

import importlib.util
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

RECIPE = Path(__file__).resolve().parent / "kernels" / "native" / "build.py"


class BuildKernels(build_ext):
    """One extension, compiled by kernels/native/build.py: each instruction set has its own
    flags."""

    def build_extension(self, ext: Extension) -> None:
        spec = importlib.util.spec_from_file_location("perfuse_kernels_build", RECIPE)
        if spec is None or spec.loader is None:
            raise ImportError(f"no loader for {RECIPE}")
        recipe = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(recipe)
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        try:
            recipe.build(library)
        except recipe.BuildError as error:
            # Not fatal: the reference kernels run, and kernels.build_info() says so.
            sys.stderr.write(f"kernels: not built, the reference kernels are used.\n{error}\n")

    def get_outputs(self) -> list[str]:
        return [path for path in super().get_outputs() if Path(path).exists()]


setup(
    ext_modules=[Extension("kernels.native._lib", sources=[], py_limited_api=True, optional=True)],
    cmdclass={"build_ext": BuildKernels},
)
