"""What is installed, by its metadata: nothing is imported for it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from napari_unet import __version__


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of this package, of Python, and of those packages that are installed."""
    found = {"napari-unet": __version__, "python": platform.python_version()}
    return found | {name: there for name in packages if (there := version_of(name))}
