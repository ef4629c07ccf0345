"""Images as files named by their content, whole and on the disk before they get their name."""

import os
from pathlib import Path

from cardmint_cloud.adapters.images.intake import ImageIntake


class FolderStorage:
    """One folder of images, `TENANT/ab/abcdef…`, with `incoming/` for uploads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.intake = ImageIntake(root / "incoming")

    def path(self, tenant: str, name: str) -> Path:
        """Return an image's path, stored or not. Both names must have been checked."""
        return self.root / tenant / name[:2] / name

    def has(self, tenant: str, name: str) -> bool:
        """Whether the image is stored."""
        return self.path(tenant, name).is_file()

    def read(self, tenant: str, name: str) -> bytes | None:
        """Return an image's bytes; None when it is not stored."""
        try:
            return self.path(tenant, name).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Move a file, whose bytes are on the disk, to its name, and flush the folders too."""
        target = self.path(tenant, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o644)
        file.replace(target)
        for folder in (target.parent, target.parent.parent, self.root):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
