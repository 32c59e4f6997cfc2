"""A thin shim: everything is in pyproject.toml, but for one step that copies the corpora's catalog into the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithCatalog(build_py):
    """corpora/catalog.toml lies outside the package; an installed package finds its copy in textdl/corpus/."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            source = Path(__file__).resolve().parent / "corpora" / "catalog.toml"
            self.copy_file(str(source), str(Path(self.build_lib, "textdl", "corpus", "catalog.toml")))


setup(cmdclass={"build_py": BuildWithCatalog})
