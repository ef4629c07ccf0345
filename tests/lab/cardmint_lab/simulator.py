"""A camera that photographs cards that are not there.

Scans rendered into scenes, the same ones for the same seed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cardmint_edge.adapters.cameras.replay import images_in
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.capture import Shot
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Stop
from cardmint_edge.settings import CameraSettings
from cardmint_lab.fictional.card_layout import press
from cardmint_lab.fictional.printings import printings
from cardmint_lab.scenes import PRESETS, render


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedCards:
    """Which cards a simulated camera gives: see `SimulatorCamera`."""

    images: Path | None = None
    count: int | None = None
    per_minute: float | None = None
    preset: str = "copy_stand"
    seed: int = 0

    def options(self) -> list[str]:
        """Return the options of `cardmint-lab station run` that ask for these cards."""
        given = {
            "--images": self.images,
            "--count": self.count,
            "--per-minute": self.per_minute,
            "--preset": self.preset,
            "--seed": self.seed,
        }
        return [f"{option}={value}" for option, value in given.items() if value is not None]

    def open(self, _settings: CameraSettings, start_at: int, _seen: bytes) -> "SimulatorCamera":
        """Make the camera in place of the one that the station's settings name."""
        return SimulatorCamera(
            self.images,
            count=self.count,
            per_minute=self.per_minute,
            preset=self.preset,
            seed=self.seed,
            start_at=start_at,
        )


class SimulatorCamera:
    """Renders `count` shots (None: for ever), at most `per_minute` of them a minute (None.

    As fast as asked).

    Shot n depends on `seed` and n alone, so `start_at` resumes a run where its last confirmed shot
    left it. The origin is `<n>-<card id>`. `images` is a folder of `<card id>.jpg`; without one the
    fictional set is photographed.
    """

    def __init__(
        self,
        images: Path | None = None,
        *,
        count: int | None = None,
        per_minute: float | None = None,
        preset: str = "copy_stand",
        seed: int = 0,
        start_at: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if preset not in PRESETS:
            message = f"no preset {preset!r}: choose one of {', '.join(PRESETS)}"
            raise Stop(message)
        self._scans = None if images is None else images_in(images)
        self._printings = printings()
        if self._scans == []:
            message = f"{images}: no images there: name a folder of <card id>.jpg"
            raise Stop(message)
        self._count = count
        self._interval = 0.0 if per_minute is None else 60 / per_minute
        self._preset = PRESETS[preset]
        self._seed = seed
        self._taken = start_at
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    @property
    def name(self) -> str:
        """What the camera is called."""
        return "simulator"

    @property
    def done(self) -> bool:
        """Whether `count` shots were given."""
        return self._count is not None and self._taken >= self._count

    def next(self, timeout_s: float) -> Shot | None:
        """Render the next card when it is due, or return None when it is not within the time.

        Raises:
            Park: the card's scan cannot be read.
        """
        if self.done:
            return None
        wait = self._due - self._clock()
        if wait > timeout_s:
            self._sleep(timeout_s)
            return None
        if wait > 0:
            self._sleep(wait)
        self._due = max(self._due + self._interval, self._clock() - self._interval)
        number = self._taken
        self._taken += 1
        rng = np.random.default_rng((self._seed, number))
        card_id, scan = self._scan(rng)
        return Shot(frame=render(scan, self._preset, rng).frame, origin=f"{number}-{card_id}")

    def capture(self) -> bool:
        """Return False: the shots come as they come."""
        return False

    def confirm(self) -> None:
        """Do nothing: the caller counts, and passes `start_at` after a restart."""

    def set_aside(self, reason: str, message: str) -> None:
        """Do nothing: a shot that was not counted does not come again."""

    def close(self) -> None:
        """Do nothing: there is no camera to let go."""

    def _scan(self, rng: np.random.Generator) -> tuple[str, Frame]:
        if self._scans is None:
            card = self._printings[int(rng.integers(len(self._printings)))]
            rgb = np.asarray(press(card))
            return card.id, np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)
        path = self._scans[int(rng.integers(len(self._scans)))]
        return path.stem, read_image(path)
