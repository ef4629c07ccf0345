"""Draw lines of text as a camera sees them in a strip.

Any font and ink, tilted, blurred, glaring, compressed.
"""

import subprocess
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cardmint_edge.domain.reading.lexicon import plain
from cardmint_lab.training.reader.lines import (
    LineTexts,
    Random,
    a_name,
    a_number,
    a_sign,
    an_attack,
    around,
    beside_a_number,
    health_points,
)

WIDTH, HEIGHT = 256, 32
SCALE = 2
"""Factor by which lines are drawn larger than the strip, so that slants are smooth."""

LIKENED = (
    "gillius",
    "cabin",
    "universalis",
    "lato",
    "carlito",
    "opensans",
    "heros",
    "nimbussans",
    "spartan",
    "adventor",
)
"""Fonts whose letters are near to those on cards are drawn more often; by their files' names."""

LEFT_OUT = (
    "symbol",
    "dingbat",
    "emoji",
    "script",
    "noto",
    "math",
    "chancery",
    "hand",
    "aenigma",
    "music",
    "braille",
)

Strip = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Line:
    """A strip (HEIGHT x WIDTH, grey) and what it says."""

    strip: Strip
    text: str


def installed_fonts() -> list[str]:
    """Return the files of the installed English fonts, those most like cards' three times.

    Raises:
        RuntimeError: there are fewer than 40.
    """
    listed = subprocess.run(
        ["fc-list", ":lang=en", "file"], check=True, capture_output=True, text=True
    ).stdout
    files = sorted(line.split(":")[0] for line in listed.splitlines())
    usable = [
        file
        for file in files
        if file.lower().rsplit(".", 1)[-1] in {"ttf", "otf"}
        and not any(word in file.lower() for word in LEFT_OUT)
    ]
    if len(usable) < 40:
        message = (
            f"{len(usable)} fonts are too few:"
            " apt-get install the fonts that docs/models/reader.md names"
        )
        raise RuntimeError(message)
    return usable + 2 * [file for file in usable if any(word in file.lower() for word in LIKENED)]


def draw(texts: LineTexts, fonts: list[str], rng: Random) -> Line:
    """Draw one line: a number, a name, a name with health points, or an attack."""
    path = fonts[int(rng.integers(len(fonts)))]
    kind = rng.random()
    if kind < 0.45:
        text = a_number(rng)
        other = beside_a_number(rng)
        text = text if not other else f"{other} {text}" if rng.random() < 0.7 else f"{text} {other}"
        ink = _write(text, path, rng.uniform(11, 22) * SCALE)
    elif kind < 0.65:
        text = a_name(texts, rng)
        ink = _write(text, path, rng.uniform(12, 24) * SCALE)
    elif kind < 0.85:
        text, ink = _with_health(texts, path, rng)
    else:
        text = an_attack(texts, rng)
        ink = _write(text, path, rng.uniform(12, 24) * SCALE)
    room = WIDTH * SCALE - 8
    if ink.shape[1] > room:
        # What does not fit is squeezed a little, then drawn smaller.
        factor = room / ink.shape[1]
        ink = _resized(ink, room, max(10, round(ink.shape[0] * min(1.0, factor * 1.35))))
    elif rng.random() < 0.5:
        wide = min(room, max(8, round(ink.shape[1] * rng.uniform(0.75, 1.25))))
        ink = _resized(ink, wide, ink.shape[0])
    cover = _place(ink, path, rng)
    return Line(strip=spoil(_paint(cover, rng), rng), text=plain(text))


def _with_health(texts: LineTexts, path: str, rng: Random) -> tuple[str, Strip]:
    """Draw health points with their sign, which is smaller than they are, and often a name."""
    tall = rng.uniform(13, 24) * SCALE
    sign, points = a_sign(rng), health_points(rng)
    sign_first = rng.random() < 0.65
    sign_ink = _write(sign, path, tall * rng.uniform(0.35, 0.75 if sign_first else 1.0))
    points_ink = _write(points, path, tall)
    pair = [sign_ink, points_ink] if sign_first else [points_ink, sign_ink]
    gap = rng.uniform(0, 0.35) * tall
    ink = _joined(pair, gap)
    written = (sign, points) if sign_first else (points, sign)
    text = ("" if gap < 0.15 * tall else " ").join(written)
    if rng.random() < 0.6:
        name = a_name(texts, rng)
        room = _write(name, path, tall * rng.uniform(0.85, 1.15))
        ink = _joined([room, ink], tall * rng.uniform(0.5, 3))
        text = f"{name} {text}"
    return text, ink


def _joined(inks: list[Strip], gap: float) -> Strip:
    """Put inks side by side on one line."""
    height = max(ink.shape[0] for ink in inks)
    space = np.zeros((height, max(1, round(gap))), np.uint8)
    raised = [np.pad(ink, ((height - ink.shape[0], 0), (0, 0))) for ink in inks]
    parts = [part for ink in raised for part in (ink, space)]
    return np.concatenate(parts[:-1], axis=1)


def spoil(canvas: NDArray[np.float32], rng: Random) -> Strip:
    """Photograph a canvas (grey, any size).

    Perspective, loss of detail, blur, noise, compression.
    """
    height, width = canvas.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    jitter = rng.uniform(-1, 1, (4, 2)) * (0.012 * width, 0.07 * height)
    shift = rng.uniform(-0.05, 0.05) * height
    moved = (corners + jitter + np.array([0, shift])) * np.array([WIDTH / width, HEIGHT / height])
    small = 1.0 if rng.random() < 0.35 else rng.uniform(0.42, 1.0)
    size = (max(40, round(WIDTH * small)), max(10, round(HEIGHT * small)))
    sharp = cv2.GaussianBlur(canvas, (0, 0), max(0.3, 0.42 * width / size[0]))
    transform = cv2.getPerspectiveTransform(
        corners, np.asarray(moved * np.array([size[0] / WIDTH, size[1] / HEIGHT]), np.float32)
    )
    seen: NDArray[np.float32] = np.asarray(
        cv2.warpPerspective(
            sharp, transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.float32,
    )
    if rng.random() < 0.6:
        sigma = rng.uniform(0.3, 1.1)
        across = sigma if rng.random() < 0.7 else 0.3
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigmaX=sigma, sigmaY=across), np.float32)
    if rng.random() < 0.15:
        seen = seen + np.float32(0.8) * (
            seen - np.asarray(cv2.GaussianBlur(seen, (0, 0), 1.2), np.float32)
        )
    seen = seen + rng.standard_normal(seen.shape, dtype=np.float32) * np.float32(rng.uniform(0, 8))
    strip = np.clip(seen, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])[1]
        strip = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.asarray(cv2.resize(strip, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=4000)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _write(text: str, path: str, tall: float) -> Strip:
    """Return a text's coverage, cut to its ink, its capitals about `tall` / 1.35 pixels high."""
    font = _font(path, max(8, 2 * round(tall / 2)))
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (max(1, int(right - left) + 4), max(1, int(bottom - top) + 4)))
    ImageDraw.Draw(picture).text((2 - left, 2 - top), text, fill=255, font=font)
    return np.asarray(picture, np.uint8)


def _resized(ink: Strip, width: int, height: int) -> Strip:
    smooth = cv2.INTER_AREA if width < ink.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(ink, (width, height), interpolation=smooth), np.uint8)


def _place(ink: Strip, path: str, rng: Random) -> NDArray[np.float32]:
    """Put a text on a canvas with what may stand around it.

    Lines above and below, symbols before and after.
    """
    height, width = HEIGHT * SCALE, WIDTH * SCALE
    cover = np.zeros((height, width), np.float32)
    ink = ink[: height - 4]
    rows, columns = ink.shape
    top = int(np.clip((height - rows) / 2 + rng.normal(0, 0.09) * height, 2, height - rows - 2))
    left = int(rng.integers(4, max(5, width - columns - 3)))
    if rng.random() < 0.35:
        above = _write(around(rng), path, rng.uniform(9, 16) * SCALE)
        start = int(rng.integers(0, max(1, above.shape[1] - 30)))
        piece = above[:, start : start + width]
        if rng.random() < 0.6 and top > 6:
            part = piece[-max(1, top - 3) :]
            cover[: part.shape[0], : part.shape[1]] = part / 255.0
        below = top + rows + 3
        if rng.random() < 0.6 and below < height:
            part = piece[: height - below]
            cover[below : below + part.shape[0], : part.shape[1]] = part / 255.0
    cover[top : top + rows, left : left + columns] = ink / 255.0
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(1, 4))):
            _symbol(cover, (left, left + columns), rng)
    if rng.random() < 0.3:
        shear = rng.uniform(0.05, 0.3)
        slant = np.array([[1, -shear, shear * height / 2], [0, 1, 0]], np.float32)
        return np.asarray(cv2.warpAffine(cover, slant, (width, height)), np.float32)
    return cover


def _symbol(cover: NDArray[np.float32], taken: tuple[int, int], rng: Random) -> None:
    """Draw a rarity sign, a set symbol or a frame beside the text."""
    height, width = cover.shape
    size = int(rng.integers(6, 22))
    places = [
        x
        for x in (
            taken[0] - size - int(rng.integers(4, 30)),
            taken[1] + size + int(rng.integers(4, 30)),
        )
        if size < x < width - size
    ]
    if not places:
        return
    x, y = places[int(rng.integers(len(places)))], int(height / 2 + rng.normal(0, 5))
    kind = int(rng.integers(4))
    if kind == 0:
        cv2.circle(cover, (x, y), size // 2, 1.0, cv2.FILLED if rng.random() < 0.7 else 2)
    elif kind == 1:
        points = np.array(
            [[x, y - size // 2], [x + size // 2, y], [x, y + size // 2], [x - size // 2, y]],
            np.int32,
        )
        cv2.fillPoly(cover, [points], 1.0)
    elif kind == 2:
        turns = np.arange(10) * np.pi / 5 - np.pi / 2
        reach = np.where(np.arange(10) % 2 == 0, size * 0.6, size * 0.25)
        cv2.fillPoly(
            cover,
            [np.stack([x + reach * np.cos(turns), y + reach * np.sin(turns)], 1).astype(np.int32)],
            1.0,
        )
    else:
        corners = rng.normal(0, size * 0.5, (6, 2)) + np.array([x, y])
        cv2.fillPoly(cover, [corners.astype(np.int32)], 1.0)


def _paint(cover: NDArray[np.float32], rng: Random) -> NDArray[np.float32]:
    """Colour ink and paper: grounds with slopes, texture, edges, outlines, foil and glare."""
    height, width = cover.shape
    paper = rng.uniform(10, 245)
    contrast = rng.uniform(45, 210)
    dark = paper - contrast > 0 if paper > 127 else not paper + contrast < 255
    ink = float(np.clip(paper - contrast if dark else paper + contrast, 0, 255))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ground = (
        paper + x * rng.normal(0, 10) + y * rng.normal(0, 8) + np.zeros((height, width), np.float32)
    )
    reach = 0.5 * abs(ink - paper)
    if rng.random() < 0.5:
        grid = (int(rng.integers(2, 9)), int(rng.integers(4, 40)))
        blotches = rng.standard_normal(grid, dtype=np.float32) * rng.uniform(0, 0.4) * reach
        ground = ground + cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.2:
        phase = x * rng.uniform(5, 40) + y * rng.uniform(-4, 4) + rng.uniform(0, 6)
        ground = ground + np.sin(phase) * rng.uniform(0, 0.4) * reach
    if rng.random() < 0.3:
        edge = int(rng.integers(1, max(2, height // 6)))
        tone = np.float32(rng.uniform(0, 255))
        ground[:edge] = tone if rng.random() < 0.5 else ground[:edge]
        ground[-edge:] = tone if rng.random() < 0.5 else ground[-edge:]
    if rng.random() < 0.2:
        outline = cv2.dilate(cover, np.ones((5, 5), np.uint8))
        rim = np.float32(np.clip(2 * paper - ink, 0, 255))
        ground = ground + (rim - ground) * outline
    canvas = ground + (ink - ground) * cover
    if rng.random() < 0.15:
        centre, wide = rng.uniform(-1, 1), rng.uniform(0.05, 0.4)
        canvas = canvas + np.exp(-(((x - centre + 0.2 * y) / wide) ** 2)) * rng.uniform(
            10, 0.6 * 255 - 0.3 * reach
        )
    return np.asarray(canvas, np.float32)
