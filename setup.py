"""The wheel carries the checkout's settings, so that `train` and the HEAR API work where there is no checkout."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SETTINGS = ("params.yaml", "versions.yaml", "datasets/*.yaml", "studies/*/params.yaml")


class BuildWithSettings(build_py):
    """Copies settings into the built package; an editable install reads those of the checkout."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).parent
        for path in sorted(path for pattern in SETTINGS for path in root.glob(pattern)):
            target = Path(self.build_lib, "beyond_spectrograms/defaults", path.relative_to(root))
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithSettings})
