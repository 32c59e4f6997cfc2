"""A thin shim: everything is in pyproject.toml, but for one step that copies the corpora into the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithCatalog(build_py):
    """corpora/ lies outside the package; an installed package finds its copies in textdl/corpus/."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source in (Path(__file__).resolve().parent / "corpora").glob("*.t*"):  # .toml and .tsv
                self.copy_file(str(source), str(Path(self.build_lib, "textdl", "corpus", source.name)))


setup(cmdclass={"build_py": BuildWithCatalog})
