"""Images in a bucket of S3 or a compatible service. Only this module uses obstore."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from cardmint_cloud.adapters.images.intake import ImageIntake

MAX_KNOWN = 100_000


class BucketAccess(Protocol):
    """Address of a bucket's service, and the key to it."""

    @property
    def endpoint(self) -> str:
        """Address of the service; empty for Amazon's own."""
        ...

    @property
    def region(self) -> str:
        """Region of the bucket."""
        ...

    @property
    def key(self) -> str:
        """Access key."""
        ...

    @property
    def secret(self) -> str:
        """Secret of the key."""
        ...


class BucketStorage:
    """One bucket of images: `PREFIX/TENANT/ab/abcdef…`. Names seen once are remembered."""

    def __init__(self, bucket: str, prefix: str, access: BucketAccess) -> None:
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._known: set[str] = set()
        self.intake = ImageIntake(Path(tempfile.gettempdir()) / "cardmint-incoming")
        self._store = S3Store(
            bucket,
            endpoint=access.endpoint or None,
            region=access.region,
            access_key_id=access.key,
            secret_access_key=access.secret,
            virtual_hosted_style_request=not access.endpoint,
            client_options={
                "allow_http": access.endpoint.startswith("http://"),
                "connect_timeout": "3s",
                "timeout": "20s",
            },
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=5)},
        )

    def _path(self, tenant: str, name: str) -> str:
        return f"{self._prefix}{tenant}/{name[:2]}/{name}"

    def has(self, tenant: str, name: str) -> bool:
        """Whether the image is stored.

        Raises:
            OSError: the bucket cannot be reached.
        """
        path = self._path(tenant, name)
        if path in self._known:
            return True
        try:
            obstore.head(self._store, path)
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise OSError(f"the bucket of images: {error}") from error
        self._know(path)
        return True

    def read(self, tenant: str, name: str) -> bytes | None:
        """Return an image's bytes; None when it is not stored.

        Raises:
            OSError: the bucket cannot be reached.
        """
        try:
            return bytes(obstore.get(self._store, self._path(tenant, name)).bytes())
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise OSError(f"the bucket of images: {error}") from error

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Store a file's bytes, whole or not at all.

        Raises:
            OSError: the bucket cannot be reached.
        """
        path = self._path(tenant, name)
        try:
            obstore.put(self._store, path, file.read_bytes(), use_multipart=False)
        except BaseError as error:
            raise OSError(f"the bucket of images: {error}") from error
        self._know(path)

    def _know(self, path: str) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(path)
