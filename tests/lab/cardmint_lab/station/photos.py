"""The most memory of a station that takes large photos from a watched folder."""

import io
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import msgspec
import numpy as np
import pillow_heif
from PIL import Image

from cardmint_edge.errors import Stop
from cardmint_lab.simulator import SimulatorCamera
from cardmint_lab.station.agent import StationProcess, peak_mb, wait_for

PHOTOS = {
    "12 MP JPEG": (("a.jpg", 4032, 3024),),
    "24 MP JPEG": (("a.jpg", 6000, 4000),),
    "61 MP JPEG": (("a.jpg", 9504, 6336),),
    "102 MP JPEG": (("a.jpg", 11648, 8736),),
    "12 MP HEIC": (("a.heic", 4032, 3024),),
    "50 MP HEIC": (("a.heic", 8160, 6120),),
    "12 MP JPEG beside its HEIC": (("a.heic", 4032, 3024), ("a.jpg", 4032, 3024)),
    "50 MP JPEG beside its HEIC": (("a.heic", 8160, 6120), ("a.jpg", 8160, 6120)),
}
"""The files of each case, in the order in which they come."""
EACH_S = 60.0


class PhotoFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a case took: the photos' megabytes, resident memory at most, seconds until taken."""

    photo: str
    file_mb: float
    before_mb: float
    most_mb: float
    seconds: float


def measure_photo(pack: Path, case: str) -> PhotoFigures:
    """Let a new station take the files of a case of `PHOTOS`, one after the other."""
    shot = SimulatorCamera(count=1).next(0)
    if shot is None:
        raise Stop("no photo was rendered")
    contents = {
        name: _encoded(cv2.resize(shot.frame, (width, height)), name)
        for name, width, height in PHOTOS[case]
    }
    with TemporaryDirectory(prefix="cardmint-measure-") as top:
        folder = Path(top) / "shots"
        folder.mkdir()
        camera = f'type = "folder"\npath = "{folder}"'
        with StationProcess.running(Path(top), pack=pack, camera=camera) as agent:
            agent.until("ready")
            before, began = agent.memory_mb().resident, time.monotonic()
            for name, content in contents.items():
                (folder / name).write_bytes(content)
                done = folder / "done" / name
                wait_for(done.exists, EACH_S, f"counting {name}")
            if agent.process.poll() is not None:
                raise Stop("the agent ended")
            most = peak_mb(agent.process.pid)
    return PhotoFigures(
        photo=case,
        file_mb=round(sum(map(len, contents.values())) / 1e6, 1),
        before_mb=round(before, 1),
        most_mb=round(most, 1),
        seconds=round(time.monotonic() - began, 1),
    )


def _encoded(frame: cv2.typing.MatLike, name: str) -> bytes:
    if name.endswith(".jpg"):
        return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8))
    pillow_heif.from_pillow(image).save(file, quality=60)
    return file.getvalue()
