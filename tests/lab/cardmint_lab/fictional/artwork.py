"""Generated pictures: a landscape with a creature that has eyes. One seed gives one picture."""

from colorsys import hsv_to_rgb
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw

HUES = {"Ember": 0.03, "Tide": 0.57, "Verdant": 0.33, "Volt": 0.14, "Umbra": 0.76, "Stone": 0.08}
Colour = tuple[int, int, int]
Random = np.random.Generator
Points = list[tuple[float, float]]


def paint(art: str, element: str, width: int, height: int) -> Image.Image:
    """Paint the picture of the seed `art`, at twice the size and reduced: its edges are smooth."""
    rng = np.random.default_rng(crc32(art.encode()))
    w, h = 2 * width, 2 * height
    hue = HUES[element] + rng.uniform(-0.06, 0.06)
    sky = (hue + (0.5, 0.08, -0.15)[rng.integers(3)]) % 1
    canvas = _sky(w, h, sky, rng)
    draw = ImageDraw.Draw(canvas)
    (_dunes, _trees, _crystals, _towers)[rng.integers(4)](
        draw, w, h, (hue + rng.uniform(-0.12, 0.12)) % 1, rng
    )
    _creature(draw, w, h, hue, rng)
    return canvas.resize((width, height), Image.Resampling.LANCZOS)


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return an RGB colour of 0 to 255."""
    red, green, blue = hsv_to_rgb(hue % 1, min(1.0, saturation), min(1.0, value))
    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(w: int, h: int, hue: float, rng: Random) -> Image.Image:
    top = np.array(colour(hue, 0.55, rng.uniform(0.25, 0.9)), dtype=np.float32)
    low = np.array(colour(hue + 0.08, 0.3, rng.uniform(0.75, 1.0)), dtype=np.float32)
    share = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    plane = (
        np.broadcast_to(top * (1 - share) + low * share, (h, w, 3)).clip(0, 255).astype(np.uint8)
    )
    canvas = Image.fromarray(np.ascontiguousarray(plane))
    draw = ImageDraw.Draw(canvas)
    radius = rng.uniform(0.06, 0.16) * w
    x, y = rng.uniform(0.1, 0.9) * w, rng.uniform(0.12, 0.4) * h
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour(hue + 0.12, 0.2, 1))
    for _ in range(int(rng.integers(0, 40))):
        x, y, radius = rng.uniform(0, w), rng.uniform(0, 0.6) * h, rng.uniform(1, 5)
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=colour(hue + 0.12, 0.1, 1)
        )
    return canvas


def _dunes(draw: ImageDraw.ImageDraw, w: int, h: int, hue: float, rng: Random) -> None:
    for layer in range(4):
        x = np.linspace(0, w, 60)
        base = h * (0.5 + 0.13 * layer)
        waves = np.full(60, base)
        for _ in range(3):
            waves += (
                np.sin(x / w * rng.uniform(3, 14) + rng.uniform(0, 6)) * rng.uniform(0.01, 0.05) * h
            )
        ridge = list(zip(x.tolist(), waves.tolist(), strict=True))
        draw.polygon(
            [*ridge, (w, h), (0, h)], fill=colour(hue + 0.02 * layer, 0.5, 0.85 - 0.16 * layer)
        )


def _trees(draw: ImageDraw.ImageDraw, w: int, h: int, hue: float, rng: Random) -> None:
    _dunes(draw, w, h, hue + 0.1, rng)
    for x in sorted(rng.uniform(0, w, 14).tolist(), key=lambda x: abs(x - w / 2)):
        foot, tall = h * rng.uniform(0.6, 0.95), h * rng.uniform(0.2, 0.45)
        wide = tall * rng.uniform(0.25, 0.45)
        shade = colour(hue + rng.uniform(-0.04, 0.04), 0.6, rng.uniform(0.25, 0.6))
        draw.rectangle(
            (x - wide / 9, foot - tall / 2, x + wide / 9, foot), fill=colour(0.07, 0.6, 0.3)
        )
        for step in range(3):
            y = foot - tall * (0.2 + 0.25 * step)
            half = wide * (1 - 0.25 * step)
            draw.polygon([(x - half, y), (x + half, y), (x, y - tall * 0.45)], fill=shade)


def _crystals(draw: ImageDraw.ImageDraw, w: int, h: int, hue: float, rng: Random) -> None:
    draw.rectangle((0, h * 0.72, w, h), fill=colour(hue, 0.5, 0.35))
    for _ in range(16):
        x, foot, tall = rng.uniform(0, w), h * rng.uniform(0.7, 1.0), h * rng.uniform(0.15, 0.5)
        wide, lean = tall * rng.uniform(0.1, 0.25), rng.uniform(-0.3, 0.3) * tall
        tip = (x + lean, foot - tall)
        tone = rng.uniform(0.5, 1.0)
        draw.polygon([(x - wide, foot), tip, (x, foot)], fill=colour(hue + 0.1, 0.45, tone))
        draw.polygon([(x, foot), tip, (x + wide, foot)], fill=colour(hue + 0.1, 0.65, tone * 0.7))


def _towers(draw: ImageDraw.ImageDraw, w: int, h: int, hue: float, rng: Random) -> None:
    for layer in range(3):
        x = -0.05 * w
        while x < w:
            wide, top = (
                rng.uniform(0.05, 0.14) * w,
                h * rng.uniform(0.25 + 0.13 * layer, 0.62 + 0.1 * layer),
            )
            draw.rectangle(
                (x, top, x + wide, h), fill=colour(hue + 0.04 * layer, 0.35, 0.7 - 0.2 * layer)
            )
            for _ in range(int(rng.integers(1, 6))):
                u, v = x + rng.uniform(0.1, 0.8) * wide, rng.uniform(top, h)
                draw.rectangle((u, v, u + w * 0.012, v + w * 0.018), fill=colour(0.13, 0.5, 1))
            x += wide * rng.uniform(0.9, 1.6)


def _creature(draw: ImageDraw.ImageDraw, w: int, h: int, hue: float, rng: Random) -> None:
    size = rng.uniform(0.24, 0.34) * h
    x, y = w * rng.uniform(0.36, 0.64), h * rng.uniform(0.5, 0.64)
    skin = (hue + rng.uniform(-0.1, 0.1)) % 1
    body, dark, pale = (
        colour(skin, 0.7, 0.85),
        colour(skin, 0.85, 0.42),
        colour(skin + 0.05, 0.3, 1),
    )
    line = max(3, round(size / 28))
    ends: Points = []
    if rng.random() < 0.6:
        reach, lift = size * rng.uniform(1.2, 1.8), size * rng.uniform(-0.6, 0.4)
        side = 1 if rng.random() < 0.5 else -1
        ends = [
            (x, y + size * 0.5),
            (x + side * reach, y + lift),
            (x + side * reach * 0.7, y + size * 0.7),
        ]
        draw.polygon(ends, fill=dark)
    if rng.random() < 0.4:
        span, rise = size * rng.uniform(1.4, 2.2), size * rng.uniform(0.4, 1.1)
        for side in (-1, 1):
            draw.polygon(
                [(x, y), (x + side * span, y - rise), (x + side * span * 0.6, y + size * 0.3)],
                fill=pale,
            )
            draw.line([(x, y), (x + side * span, y - rise)], fill=dark, width=line)
    for side in (-1, 1):
        _leg(draw, x + side * size * 0.45, y + size * 0.7, size * rng.uniform(0.2, 0.3), dark)
    blob = _blob(x, y, size, rng)
    draw.polygon(blob, fill=body, outline=dark, width=line)
    belly = size * rng.uniform(0.35, 0.5)
    draw.ellipse((x - belly, y + size * 0.05, x + belly, y + size * 0.8), fill=pale)
    _head(draw, (x, y - size * 0.75), size * rng.uniform(0.5, 0.68), (body, dark, pale), rng)
    for _ in range(int(rng.integers(0, 9))):
        u, v, r = (
            x + rng.uniform(-0.7, 0.7) * size,
            y + rng.uniform(-0.3, 0.5) * size,
            size * rng.uniform(0.04, 0.1),
        )
        draw.ellipse((u - r, v - r, u + r, v + r), fill=dark)


def _blob(x: float, y: float, size: float, rng: Random) -> Points:
    angles = np.linspace(0, 2 * np.pi, 90)
    radius = 1 + sum(np.cos(n * (angles - np.pi / 2)) * rng.uniform(-0.09, 0.09) for n in (2, 3, 5))
    wide = rng.uniform(0.75, 1.05)
    ring = zip(
        (x + np.cos(angles) * radius * size * wide).tolist(),
        (y + np.sin(angles) * radius * size * 0.9).tolist(),
        strict=True,
    )
    return list(ring)


def _leg(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: Colour) -> None:
    draw.ellipse((x - r, y - r * 0.6, x + r, y + r * 1.2), fill=fill)


def _head(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    r: float,
    palette: tuple[Colour, Colour, Colour],
    rng: Random,
) -> None:
    (x, y), (body, dark, pale) = at, palette
    line = max(3, round(r / 16))
    kind, long = rng.integers(3), r * rng.uniform(0.7, 1.5)
    for side in (-1, 1):
        foot = (x + side * r * 0.6, y - r * 0.5)
        if kind == 0:
            draw.polygon(
                [
                    (x + side * r * 0.15, y - r * 0.8),
                    (x + side * r * 0.9, y - r * 0.8 - long),
                    (x + side * r, y),
                ],
                fill=dark,
            )
        elif kind == 1:
            draw.ellipse(
                (foot[0] - r * 0.3, foot[1] - long, foot[0] + r * 0.3, foot[1] + r * 0.2),
                fill=pale,
                outline=dark,
                width=line,
            )
        else:
            draw.line(
                [foot, (foot[0] + side * long * 0.4, foot[1] - long)], fill=dark, width=line * 2
            )
            tip = (foot[0] + side * long * 0.4, foot[1] - long)
            draw.ellipse(
                (tip[0] - r * 0.14, tip[1] - r * 0.14, tip[0] + r * 0.14, tip[1] + r * 0.14),
                fill=pale,
            )
    draw.ellipse((x - r, y - r * 0.9, x + r, y + r * 0.9), fill=body, outline=dark, width=line)
    eye, gap = r * rng.uniform(0.16, 0.28), r * rng.uniform(0.35, 0.5)
    for side in (-1, 1) if rng.random() < 0.9 else (0,):
        u, v = x + side * gap, y - r * 0.1
        draw.ellipse(
            (u - eye, v - eye, u + eye, v + eye), fill=(255, 255, 255), outline=dark, width=line
        )
        draw.ellipse(
            (u - eye * 0.5, v - eye * 0.55, u + eye * 0.5, v + eye * 0.55), fill=(20, 20, 30)
        )
        draw.ellipse((u - eye * 0.3, v - eye * 0.45, u, v - eye * 0.15), fill=(255, 255, 255))
    draw.arc(
        (x - r * 0.35, y + r * 0.05, x + r * 0.35, y + r * 0.55), 20, 160, fill=dark, width=line * 2
    )
