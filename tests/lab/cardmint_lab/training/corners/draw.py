"""Draw small scenes with cards in them.

Tables and clutter, sleeves and toploaders, hands, several cards, no card.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import CARD_RATIO
from cardmint_lab.scenes import background, foil, lay

Random = np.random.Generator
Canvas = NDArray[np.float32]

SIZE = (512, 384)
"""Width and height of a scene as it is drawn; the network sees half of it."""

INPUT = (256, 192)
"""Width and height of what the network sees."""

OUTPUT = (128, 96)
"""Width and height of what it says."""

BAND = 1.5
"""Half the width of a card's outline, in pixels of the output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A scene: the frame (INPUT, BGR), and per pixel of OUTPUT.

    255 in a card, 255 on an outline, and its card's up.

    `up` is x and y times 127 plus 128, of the way from the card's middle to its top; 128 where
    there is no card.
    """

    frame: Frame
    inside: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    up: NDArray[np.uint8]


def draw(cards: list[Frame], rng: Random) -> Drawn:
    """Draw one scene with none, one or several of `cards`."""
    canvas = np.ascontiguousarray(_ground(cards, rng), np.float32)
    for _ in range(int(rng.integers(0, 5)) if rng.random() < 0.5 else 0):
        thing(canvas, rng)
    laid = _layout(rng)
    for quad in laid:
        card = _toned(cards[int(rng.integers(len(cards)))], rng)
        if rng.random() < 0.15:
            card = foil(card, rng)
        canvas = cased(canvas, quad, rng)
        canvas = lay(canvas, card, quad)
        sheen(canvas, quad, rng)
    if len(laid) == 1 and rng.random() < 0.3:
        hand(canvas, laid[0], rng)
    frame = _photographed(canvas, rng)
    inside, outline, up = _truth(laid)
    if rng.random() < 0.5:
        frame, inside, outline = frame[:, ::-1], inside[:, ::-1], outline[:, ::-1]
        up = up[:, ::-1].copy()
        up[..., 0] = 256 - up[..., 0].astype(np.int16)
        # A mirrored card is none that exists, but its outline and its up are as good as any.
    return Drawn(frame=np.ascontiguousarray(frame), inside=inside, outline=outline, up=up)


def _layout(rng: Random) -> list[NDArray[np.float32]]:
    """Return where cards lie, clockwise from each one's own top left, in pixels of the scene."""
    kind = rng.random()
    if kind < 0.06:
        return []
    if kind < 0.24:
        return [_filling(rng)]
    if kind < 0.8:
        return [_quad(rng, np.exp(rng.uniform(np.log(0.3), np.log(1.0))), rng.uniform(0.3, 0.7, 2))]
    if kind < 0.92:
        share = rng.uniform(0.3, 0.6)
        places = rng.uniform(0.2, 0.8, (int(rng.integers(2, 5)), 2))
        return _apart([_quad(rng, share, place) for place in places])
    # Rows, as in a binder or on a mat.
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    turn = rng.normal(0, 4) + (180 if rng.random() < 0.2 else 0)
    share = min(0.92 / rows, 0.92 * SIZE[0] / SIZE[1] / columns / CARD_RATIO) * rng.uniform(
        0.8, 0.98
    )
    return [
        _quad(rng, share, np.array([(column + 0.5) / columns, (row + 0.5) / rows]), turn)
        for row in range(rows)
        for column in range(columns)
    ]


def _quad(
    rng: Random, share: float, place: NDArray[np.float64], turn: float | None = None
) -> NDArray[np.float32]:
    tall = share * SIZE[1]
    corners = (
        np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([tall * CARD_RATIO, tall]) / 2
    )
    tilt = 0.01 if turn is not None else abs(rng.normal(0, rng.choice([0.035, 0.08])))
    corners = corners + rng.uniform(-1, 1, (4, 2)) * tilt * tall
    if turn is None:
        turn = float(
            rng.choice(
                [rng.normal(0, 8), rng.uniform(-180, 180), rng.choice([-90, 90]) + rng.normal(0, 8)]
            )
        )
        turn += 180 if rng.random() < 0.25 else 0
    angle = np.radians(turn)
    # Photos are brought to the network's proportions whatever their own are.
    stretch = np.array([rng.uniform(0.86, 1.1), 1.0])
    corners = (
        corners
        @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        * stretch
    )
    return np.asarray(corners + place * np.array(SIZE), np.float32)


def _filling(rng: Random) -> NDArray[np.float32]:
    """Return a card that fills the frame or a little more, as on a scan or a cropped photo."""
    width, height = SIZE
    # Upright it lies sideways here: a frame that is taller than wide is turned.
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    middle = frame.mean(axis=0)
    corners = (
        middle + (frame - middle) * rng.uniform(0.8, 1.04, 2) + rng.uniform(-0.03, 0.03, 2) * SIZE
    )
    corners = corners + rng.normal(0, rng.choice([0.003, 0.015]), (4, 2)) * height
    return np.asarray(np.roll(corners, int(rng.choice([1, 1, 3])), axis=0), np.float32)


def _apart(quads: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    kept: list[NDArray[np.float32]] = []
    for quad in quads:
        if all(
            cv2.intersectConvexConvex(cv2.convexHull(quad), cv2.convexHull(one))[0] < 200
            for one in kept
        ):
            kept.append(quad)
    return kept


def _ground(cards: list[Frame], rng: Random) -> Canvas:
    """Return what the cards lie on.

    A mat, stone, tiles, pieces of pictures blurred or not, slopes of colour, stripes.
    """
    width, height = SIZE
    kind = rng.random()
    if kind < 0.35:
        return background(width, height, rng)
    if kind < 0.5:
        return _speckled(rng)
    if kind < 0.6:
        return _tiled(rng)
    if kind < 0.82:
        card = cards[int(rng.integers(len(cards)))]
        size = rng.uniform(0.15, 1.0)
        rows, columns = max(8, int(card.shape[0] * size)), max(8, int(card.shape[1] * size))
        top, left = (
            int(rng.integers(card.shape[0] - rows + 1)),
            int(rng.integers(card.shape[1] - columns + 1)),
        )
        piece = card[top : top + rows, left : left + columns]
        turned = np.ascontiguousarray(np.rot90(piece, int(rng.integers(4))))
        ground = cv2.resize(turned, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        if rng.random() < 0.7:
            ground = cv2.GaussianBlur(ground, (0, 0), rng.uniform(2, 25)).astype(np.float32)
        mixed = ground * rng.uniform(0.3, 1) + rng.uniform(0, 120, 3)
        return np.asarray(mixed[..., rng.permutation(3)].clip(0, 255), np.float32)
    x = np.linspace(-1, 1, width)[None, :, None]
    y = np.linspace(-1, 1, height)[:, None, None]
    slope: NDArray[np.float64] = (
        rng.uniform(20, 235, 3) + x * rng.normal(0, 40, 3) + y * rng.normal(0, 40, 3)
    )
    if rng.random() < 0.6:
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(8, 80)
        waves = np.sin(
            (x * np.cos(angle) + y * np.sin(angle)) * pitch + 3 * np.sin(y * rng.uniform(1, 6))
        )
        slope = slope + waves * rng.uniform(3, 35) * rng.uniform(0.6, 1, 3)
    return np.asarray((slope + rng.normal(0, 4, slope.shape)).clip(0, 255), np.float32)


def _speckled(rng: Random) -> Canvas:
    """Draw granite or terrazzo: grains from less than a pixel to a sixth of a card's height.

    Grains are where smooth noise is high, or chips with straight edges.
    """
    width, height = SIZE
    base = rng.uniform(15, 240, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(15, 240))
    ground = np.empty((height, width, 3), np.float32)
    ground[...] = base + rng.normal(0, 8, 3)
    for _ in range(int(rng.integers(1, 5))):
        colour = rng.uniform(0, 255, 3)
        if rng.random() < 0.5:
            colour = np.full(3, colour.mean()) + rng.normal(0, 15, 3)
        if rng.random() < 0.75:
            grain = float(np.exp(rng.uniform(np.log(0.8), np.log(9))))
            rows, columns = round(height / grain), round(width / grain * rng.uniform(0.7, 1.4))
            noise = cv2.resize(
                rng.random((rows, columns), dtype=np.float32), SIZE, interpolation=cv2.INTER_CUBIC
            )
            ground[noise > rng.uniform(0.6, 0.95)] = colour
            continue
        size = rng.uniform(3, 25)
        for _ in range(int(rng.integers(40, 200))):
            chip = rng.uniform((0, 0), SIZE) + rng.normal(0, size, (int(rng.integers(3, 7)), 2))
            hull = cv2.convexHull(chip.astype(np.int32))
            cv2.fillConvexPoly(ground, hull, colour.tolist(), cv2.LINE_AA)
    return ground


def _tiled(rng: Random) -> Canvas:
    """Draw tiles, boards, checks or a weave of any contrast and angle, seen aslant or not."""
    side = 96
    cell = np.empty((side, side, 3), np.float32)
    cell[...] = rng.uniform(0, 255, 3)
    other = rng.uniform(0, 255, 3)
    kind = int(rng.integers(4))
    if kind == 0:
        cell[: side // 2, : side // 2] = other
        cell[side // 2 :, side // 2 :] = other
    elif kind == 1:
        joint = int(rng.integers(2, 14))
        cell[:joint] = other
        if rng.random() < 0.7:
            cell[:, :joint] = other
    elif kind == 2:
        for _ in range(int(rng.integers(1, 6))):
            start, wide = int(rng.integers(side)), int(rng.integers(2, 40))
            cell[:, start : start + wide] = rng.uniform(0, 255, 3)
    else:
        middle, radius = (side // 2, side // 2), int(rng.integers(8, 46))
        cv2.circle(cell, middle, radius, other.tolist(), cv2.FILLED, cv2.LINE_AA)
    pitch = float(np.exp(rng.uniform(np.log(8), np.log(150))))
    angle, lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.0008, 0.0008, 2)
    x, y = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
    depth = 1 + lean[0] * (x - SIZE[0] / 2) + lean[1] * (y - SIZE[1] / 2)
    along = (x * np.cos(angle) + y * np.sin(angle)) / depth / pitch * side
    across = (y * np.cos(angle) - x * np.sin(angle)) / depth / pitch * side
    across *= rng.uniform(0.5, 2)
    at = (np.mod(along, side).astype(np.float32), np.mod(across, side).astype(np.float32))
    ground = cv2.remap(cell, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(ground + rng.normal(0, rng.uniform(0, 8), ground.shape), np.float32)


def thing(canvas: Canvas, rng: Random, size: tuple[int, int] = SIZE) -> None:
    """Put something on the table that is no card."""
    width, height = size
    colour = rng.uniform(0, 255, 3).tolist()
    centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    kind = int(rng.integers(4))
    if kind == 0:
        axes = (int(rng.uniform(6, 90)), int(rng.uniform(6, 90)))
        cv2.ellipse(
            canvas, centre, axes, rng.uniform(0, 180), 0, 360, colour, cv2.FILLED, cv2.LINE_AA
        )
    elif kind == 1:
        long = rng.uniform(40, 260)
        box = cv2.boxPoints(
            (centre, (long, long * rng.choice([rng.uniform(0.1, 0.5), 1.0])), rng.uniform(0, 180))
        )
        cv2.fillConvexPoly(canvas, np.asarray(box, np.int32), colour, cv2.LINE_AA)
    elif kind == 2:
        end = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.line(canvas, centre, end, colour, int(rng.integers(1, 14)), cv2.LINE_AA)
    else:
        text = "".join(chr(int(code)) for code in rng.integers(65, 91, int(rng.integers(3, 12))))
        letters = np.zeros(canvas.shape[:2], np.uint8)
        cv2.putText(
            letters,
            text,
            centre,
            cv2.FONT_HERSHEY_DUPLEX,
            rng.uniform(0.4, 2.5),
            255,
            2,
            cv2.LINE_AA,
        )
        canvas += (np.array(colour, np.float32) - canvas) * (letters[..., None] / np.float32(255))


def _toned(card: Frame, rng: Random) -> Frame:
    """Change a card's colours now and then.

    What makes a card is its shape and its print, not these cards' colours.
    """
    if rng.random() < 0.25:
        card = np.ascontiguousarray(card[..., rng.permutation(3)])
    if rng.random() < 0.25:
        # Black borders on dark mats and bright ones on white paper are the hardest to see.
        border = rng.uniform(0, 255, 3) if rng.random() < 0.5 else rng.choice([12, 235], 1)
        card = card.copy()
        wide = max(1, int(card.shape[1] * rng.uniform(0.02, 0.06)))
        for part in (card[:wide], card[-wide:], card[:, :wide], card[:, -wide:]):
            part[...] = border
    return card


def _grown(quad: NDArray[np.float32], across: float, along: float) -> NDArray[np.float32]:
    """Return a quad larger by shares of the card's width and height."""
    right = (quad[1] - quad[0] + quad[2] - quad[3]) / 4 * across
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 4 * along
    return np.asarray(
        quad + np.array([-right - down, right - down, right + down, -right + down]), np.float32
    )


def cased(canvas: Canvas, quad: NDArray[np.float32], rng: Random, chance: float = 0.3) -> Canvas:
    """Lay a sleeve, a toploader or a slab's window under a card, sometimes."""
    if rng.random() > chance:
        return canvas
    grow = rng.uniform(0.04, 0.1) if rng.random() < 0.6 else rng.uniform(0.1, 0.3)
    case = _grown(quad, grow, grow * rng.uniform(0.8, 1.6))
    layer = canvas.copy()
    cv2.fillConvexPoly(layer, case.astype(np.int32), rng.uniform(60, 255, 3).tolist(), cv2.LINE_AA)
    mixed = canvas + (layer - canvas) * np.float32(rng.uniform(0.05, 0.95))
    cv2.polylines(
        mixed,
        [case.astype(np.int32)],
        True,
        rng.uniform(0, 255, 3).tolist(),
        int(rng.integers(1, 3)),
        cv2.LINE_AA,
    )
    return np.asarray(mixed, np.float32)


def sheen(canvas: Canvas, quad: NDArray[np.float32], rng: Random, chance: float = 0.35) -> None:
    """Let plastic or foil shine: a bright band or spot over a card."""
    if rng.random() > chance:
        return
    low, high = quad.min(axis=0), quad.max(axis=0)
    spot = np.zeros(canvas.shape[:2], np.float32)
    if rng.random() < 0.5:
        ends = rng.uniform(low, high, (2, 2)).astype(int)
        cv2.line(spot, ends[0].tolist(), ends[1].tolist(), 1.0, int(rng.integers(2, 30)))
    else:
        axes = ((high - low) * rng.uniform(0.05, 0.3, 2)).astype(int).clip(1)
        cv2.ellipse(
            spot,
            rng.uniform(low, high).astype(int).tolist(),
            axes.tolist(),
            rng.uniform(0, 180),
            0,
            360,
            1.0,
            -1,
        )
    canvas += cv2.GaussianBlur(spot, (0, 0), rng.uniform(1, 8))[..., None] * np.float32(
        rng.uniform(30, 200)
    )


def hand(canvas: Canvas, quad: NDArray[np.float32], rng: Random) -> None:
    """Let a hand hold a card: fingers reach over an edge from outside."""
    skin = np.array([rng.uniform(50, 170), rng.uniform(80, 190), rng.uniform(120, 235)])
    side = int(rng.integers(4))
    start, end = quad[side], quad[(side + 1) % 4]
    middle = quad.mean(axis=0)
    along = end - start
    outward = (start + end) / 2 - middle
    outward /= np.linalg.norm(outward) + 1e-6
    tall = float(np.linalg.norm(quad[3] - quad[0]))
    for _ in range(int(rng.integers(1, 5))):
        edge = start + along * rng.uniform(0, 1)
        tip = edge - outward * tall * rng.uniform(0.01, 0.16)
        root = edge + outward * tall * rng.uniform(0.3, 1) + along * rng.normal(0, 0.2)
        wide = int(np.clip(tall * rng.uniform(0.08, 0.17), 3, 90))
        tone = (skin * rng.uniform(0.8, 1.1)).tolist()
        dark = (skin * 0.6).tolist()
        cv2.line(
            canvas, tip.astype(int).tolist(), root.astype(int).tolist(), dark, wide + 3, cv2.LINE_AA
        )
        cv2.line(
            canvas, tip.astype(int).tolist(), root.astype(int).tolist(), tone, wide, cv2.LINE_AA
        )
    if rng.random() < 0.5:
        centre = (middle + outward * tall * rng.uniform(0.9, 1.5)).astype(int).tolist()
        cv2.ellipse(
            canvas,
            centre,
            (int(tall * 0.6), int(tall * 0.5)),
            rng.uniform(0, 180),
            0,
            360,
            skin.tolist(),
            -1,
        )


def _photographed(canvas: Canvas, rng: Random) -> Frame:
    light = rng.uniform(1.2, 1.7) if rng.random() < 0.15 else rng.uniform(0.3, 1.25)
    canvas = canvas * light * (1 + rng.uniform(-0.12, 0.12, 3).astype(np.float32))
    x = np.linspace(-0.5, 0.5, SIZE[0], dtype=np.float32)[None, :, None]
    y = np.linspace(-0.5, 0.5, SIZE[1], dtype=np.float32)[:, None, None]
    canvas = canvas * (1 + x * rng.normal(0, 0.25) + y * rng.normal(0, 0.25))
    if rng.random() < 0.4:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 2.5)), np.float32)
    small = cv2.resize(canvas, INPUT, interpolation=cv2.INTER_AREA)
    return np.asarray(
        (small + rng.normal(0, rng.uniform(0, 7), small.shape)).clip(0, 255), np.uint8
    )


def _truth(
    quads: list[NDArray[np.float32]],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    width, height = OUTPUT
    inside = np.zeros((height, width), np.uint8)
    outline = np.zeros((height, width), np.uint8)
    up = np.full((height, width, 2), 128, np.uint8)
    factor = np.array(OUTPUT) / np.array(SIZE)
    for quad in quads:
        # Sub-pixel corners: fillConvexPoly takes sixteenths.
        fixed = np.round(((quad + 0.5) * factor - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(inside, fixed, 255, cv2.LINE_AA, 4)
        cv2.polylines(outline, [fixed], True, 255, round(2 * BAND), cv2.LINE_AA, 4)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_8, 4)
        way = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
        up[mask > 0] = np.round(way / np.linalg.norm(way) * 127 + 128).astype(np.uint8)
    return inside, outline, up
