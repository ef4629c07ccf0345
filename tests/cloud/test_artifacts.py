"""Packs and models are downloaded whole or from an offset, also by the path of version 0.1."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.fleet import artifact_folder
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.http import ARTIFACT_PATH, ARTIFACT_PATH_0_1
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.web import serve

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]

CONTENT = bytes(range(256)) * 600
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
async def site(pool: Pool, engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    artifacts = tmp_path / "artifacts"
    (artifacts / "shop").mkdir(parents=True)
    (artifacts / "shop" / SHA256).write_bytes(CONTENT)
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        artifacts=artifacts,
        tenant="shop",
        clock=lambda: NOW,
    )
    async with serve(app) as client:
        yield client


@pytest.mark.parametrize("path", [ARTIFACT_PATH, ARTIFACT_PATH_0_1])
async def test_an_artifact_is_downloaded_whole_or_from_an_offset(
    site: httpx.AsyncClient, path: str
) -> None:
    address = path.format(tenant="shop", sha256=SHA256)
    whole = await site.get(address)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    rest = await site.get(address, headers={"range": "bytes=100000-"})
    assert (rest.status_code, rest.content) == (206, CONTENT[100000:])
    beyond = await site.get(address, headers={"range": f"bytes={len(CONTENT)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert (await site.get(path.format(tenant="shop", sha256="0" * 64))).status_code == 404


def test_the_folder_of_the_first_version_is_renamed_once(tmp_path: Path) -> None:
    (tmp_path / "wares" / "shop").mkdir(parents=True)
    folder = artifact_folder(str(tmp_path / "artifacts"))
    assert (folder / "shop").is_dir()
    (tmp_path / "wares").mkdir()
    assert (artifact_folder(str(folder)) / "shop").is_dir()
    assert (tmp_path / "wares").is_dir()
