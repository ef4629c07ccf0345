"""Photos that were never taken: a card's scan in a scene, photographed and spoiled.

The generator is passed in.
"""

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import CARD_RATIO, Corners, Quad

Random = np.random.Generator


def held_out(card_id: str) -> bool:
    """Return whether a card is held out: its scan is never trained on, so it may be measured."""
    return crc32(card_id.encode()) % 10 in (0, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """How a scene may come out. Pairs are ranges drawn from evenly; chances are between 0 and 1."""

    width: int = 1920
    height: int = 1280
    card_height: tuple[float, float]
    """The card's height as a share of the frame's shorter side."""
    tilt: float
    """Largest shift of a corner by perspective, as a share of the card's height."""
    turn_degrees: float
    """Largest turn to either side."""
    upside_down: float
    """Chance of another half turn."""
    blur: tuple[float, float]
    """Standard deviation in pixels."""
    noise: tuple[float, float]
    light: tuple[float, float]
    """Factor on the whole frame."""
    glare: float
    foil: float
    tint: float
    shift: float
    """How far from the middle the card may lie, as a share of the room there is."""


PRESETS: dict[str, Preset] = {
    "copy_stand": Preset(
        card_height=(0.72, 0.88),
        tilt=0.008,
        turn_degrees=4,
        upside_down=0.05,
        blur=(0.3, 1.0),
        noise=(1, 4),
        light=(0.85, 1.1),
        glare=0.15,
        foil=0.1,
        tint=0.03,
        shift=0.5,
    ),
    "table": Preset(
        card_height=(0.5, 0.85),
        tilt=0.05,
        turn_degrees=25,
        upside_down=0.25,
        blur=(0.5, 1.8),
        noise=(2, 8),
        light=(0.6, 1.2),
        glare=0.4,
        foil=0.25,
        tint=0.08,
        shift=0.9,
    ),
    "hard": Preset(
        card_height=(0.35, 0.8),
        tilt=0.1,
        turn_degrees=180,
        upside_down=0.5,
        blur=(1.0, 3.5),
        noise=(4, 16),
        light=(0.4, 1.35),
        glare=0.7,
        foil=0.4,
        tint=0.15,
        shift=1.0,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A rendered frame, and where its card lies."""

    frame: Frame
    quad: Quad


def render(card: Frame, preset: Preset, rng: Random) -> Scene:
    """Photograph a card's scan (height x width x 3, BGR) by a preset."""
    width, height = preset.width, preset.height
    ground = background(width, height, rng)
    corners = _place(preset, rng)
    frame = lay(ground, foil(card, rng) if rng.random() < preset.foil else card, corners)
    if rng.random() < preset.glare:
        frame = _glare(frame, corners, rng)
    gain = rng.uniform(*preset.light) * (
        1 + rng.uniform(-preset.tint, preset.tint, 3).astype(np.float32)
    )
    frame *= _falloff(width, height, rng) * gain
    sigma = rng.uniform(*preset.blur)
    frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), dtype=np.float32)
    grain = rng.standard_normal((height // 2, width // 2, 3), dtype=np.float32)
    grain *= np.float32(rng.uniform(*preset.noise))
    frame += cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    np.clip(frame, 0, 255, out=frame)
    return Scene(frame=frame.astype(np.uint8), quad=Quad(corners))


def lay(ground: NDArray[np.float32], card: Frame, corners: Corners) -> NDArray[np.float32]:
    """Lay a card on a ground, with rounded corners and a soft shadow; returns a new float image."""
    height, width = ground.shape[:2]
    rows, columns = card.shape[:2]
    source = np.array(
        [[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float32
    ) - np.float32(0.5)
    transform = cv2.getPerspectiveTransform(source, corners)
    span = float(np.linalg.norm(corners[3] - corners[0]))
    # Shrinking by warping alone would alias: the scan is first brought near the size it will have.
    if rows > 2 * span:
        factor = span / rows
        card = np.asarray(
            cv2.resize(card, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
            dtype=np.uint8,
        )
        transform = transform @ np.diag([columns / card.shape[1], rows / card.shape[0], 1.0])
    # Only the part of the frame that the card and its shadow reach is touched.
    size = np.array([width, height])
    left, top = np.clip(np.floor(corners.min(axis=0)) - 4, 0, size - 1).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 30, 1, size).astype(int).tolist()
    moved = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ transform
    room = (right - left, bottom - top)
    warped = cv2.warpPerspective(card.astype(np.float32), moved, room, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpPerspective(_rounded(card.shape[1], card.shape[0]), moved, room)
    shadow = cv2.GaussianBlur(np.roll(alpha, (4, 5), axis=(0, 1)), (0, 0), 7)
    result = ground.copy()
    part = result[top:bottom, left:right]
    part *= (1 - 0.45 * shadow)[..., None]
    part += (warped - part) * alpha[..., None]
    return result


def background(width: int, height: int, rng: Random) -> NDArray[np.float32]:
    """Draw a table: a plain mat, brushed grain or coarse cloth in any colour, dark to light."""
    base = rng.uniform(20, 235) + rng.uniform(-25, 25, 3)
    kind = rng.integers(3)
    grid = (max(2, height // (8, 160, 6)[kind] // 8), max(2, width // (200, 12, 6)[kind] // 2))
    texture = cv2.resize(
        rng.standard_normal(grid, dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    ground: NDArray[np.float32] = base.astype(np.float32) + texture[..., None] * np.float32(
        rng.uniform(0, (4, 14, 8)[kind])
    )
    np.clip(ground, 0, 255, out=ground)
    return ground


def _place(preset: Preset, rng: Random) -> Corners:
    tall = rng.uniform(*preset.card_height) * min(preset.width, preset.height)
    half = np.array([tall * CARD_RATIO, tall]) / 2
    quad = (
        np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        + rng.uniform(-1, 1, (4, 2)) * preset.tilt * tall
    )
    degrees = rng.uniform(-preset.turn_degrees, preset.turn_degrees) + (
        180 if rng.random() < preset.upside_down else 0
    )
    angle = np.radians(degrees)
    quad = quad @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    low, high = quad.min(axis=0), quad.max(axis=0)
    size = np.array([preset.width, preset.height])
    room = np.maximum(size - (high - low) - 8, 0)
    return np.asarray(
        quad - low + 4 + room * (0.5 + rng.uniform(-0.5, 0.5, 2) * preset.shift), dtype=np.float32
    )


def _rounded(width: int, height: int) -> NDArray[np.float32]:
    radius = max(1, round(0.045 * width))
    mask = np.zeros((height, width), dtype=np.float32)
    cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 1.0, cv2.FILLED)
    cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 1.0, cv2.FILLED)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 1.0, cv2.FILLED)
    return mask


def foil(card: Frame, rng: Random) -> Frame:
    """Return a card with waves of colour over it, as foil has them."""
    height, width = card.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = (x * rng.uniform(0.5, 1.5) + y * rng.uniform(-1, 1)) / width * rng.uniform(
        8, 25
    ) + rng.uniform(0, 6)
    sheen = np.stack([np.sin(phase + shift) for shift in (0, 2.1, 4.2)], axis=2) * rng.uniform(
        10, 45
    )
    return np.asarray((card + sheen).clip(0, 255), dtype=np.uint8)


def _glare(frame: NDArray[np.float32], corners: Corners, rng: Random) -> NDArray[np.float32]:
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre = rng.uniform(low, high)
    axes = (high - low) * rng.uniform(0.06, 0.28, 2)
    spot = np.zeros(frame.shape[:2], dtype=np.float32)
    middle, radii = (int(centre[0]), int(centre[1])), (max(1, int(axes[0])), max(1, int(axes[1])))
    cv2.ellipse(spot, middle, radii, rng.uniform(0, 180), 0, 360, 1.0, cv2.FILLED)
    # Blurring at a quarter of the size: the spot is smooth, and a wide kernel on the whole frame
    # takes seconds.
    small = cv2.GaussianBlur(
        cv2.resize(spot, None, fx=0.25, fy=0.25), (0, 0), max(1.0, float(axes.min()) / 10)
    )
    soft = np.asarray(cv2.resize(small, (frame.shape[1], frame.shape[0])), dtype=np.float32)
    return np.asarray(frame + soft[..., None] * np.float32(rng.uniform(60, 220)), dtype=np.float32)


def _falloff(width: int, height: int, rng: Random) -> NDArray[np.float32]:
    strength = np.float32(rng.uniform(0, 0.3))
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(angle))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(angle))
    return (1 + strength * (x[None, :] + y[:, None]))[..., None]
