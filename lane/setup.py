"""Build the program; it needs a C compiler and the headers of LMDB, zstd and xxHash."""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = ["-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"]


class BuildProgram(build_ext):
    """Link an executable instead of a module for Python."""

    def build_extension(self, ext: Extension) -> None:
        """Compile the sources and link them; ``ARTFS_LANE_CFLAGS`` adds options, for sanitizers."""
        flags = [*FLAGS, *os.environ.get("ARTFS_LANE_CFLAGS", "").split()]
        objects = self.compiler.compile(
            ext.sources, output_dir=self.build_temp, extra_postargs=flags, depends=ext.depends
        )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_executable(
            objects,
            target.name,
            output_dir=str(target.parent),
            libraries=ext.libraries,
            extra_postargs=[*flags, "-Wl,-z,relro,-z,now"],
        )

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of the program in the package."""
        return os.path.join(*fullname.split(".")[:-1], "artfs-lane")


setup(
    ext_modules=[
        Extension(
            "artfs_lane.program",
            sources=sorted(map(str, Path("src").glob("*.c"))),
            depends=["src/lane.h"],
            libraries=["lmdb", "zstd", "pthread"],
        )
    ],
    cmdclass={"build_ext": BuildProgram},
)
