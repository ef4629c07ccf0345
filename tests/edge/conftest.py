"""The fictional set, printed once a run, and the recogniser over its pack."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from tests.edge.kit.station import end_all
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.catalogue import build
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_lab.fictional.catalogue_files import issue

cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def fictional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cards/, images/ and pack.sqlite."""
    folder = tmp_path_factory.mktemp("fictional")
    issue(folder)
    build(folder / "cards", folder / "images", folder / "pack.sqlite", pytest.fail)
    return folder


@pytest.fixture(scope="session")
def pack(fictional: Path) -> Iterator[Pack]:
    pack = Pack(fictional / "pack.sqlite")
    yield pack
    pack.close()


@pytest.fixture(scope="session")
def recogniser(pack: Pack) -> CardRecogniser:
    return CardRecogniser(pack, clock=time.perf_counter)


@pytest.fixture(autouse=True)
def _no_agent_outlives_its_test() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalBroker]:
    """A running broker: mosquitto, or the kind that a test asks for by indirect parametrisation."""
    real = LocalBroker(tmp_path / "broker", kind=getattr(request, "param", "mosquitto"))
    real.start()
    yield real
    real.kill()


@pytest.fixture
def worker(broker: LocalBroker) -> Iterator[CloudWorker]:
    cloud = CloudWorker(broker.port)
    yield cloud
    cloud.close()
