"""Build hook: the manifest and the sample data travel inside the package.

`napari.yaml` and `sample_data/` stand at the top of the repository, where people look for them;
npe2 and the installed package look for them next to the code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CopyIntoPackage(BuildHookInterface):  # type: ignore[misc]
    """Copy the manifest into the package, and ship the samples in a real (not editable) wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before hatchling collects files; `version` is "standard" or "editable"."""
        root = Path(self.root)
        manifest = root / "src" / "napari_unet" / "napari.yaml"
        manifest.write_bytes((root / "napari.yaml").read_bytes())
        if self.target_name == "wheel" and version == "standard":
            build_data["force_include"][str(root / "sample_data")] = "napari_unet/sample_data"
