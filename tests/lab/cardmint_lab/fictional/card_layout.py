"""Lays out and draws a printing as a card."""

from functools import cache

from PIL import Image, ImageDraw, ImageFont

from cardmint_lab.fictional.artwork import HUES, Colour, colour, paint
from cardmint_lab.fictional.printings import Printing

WIDTH, HEIGHT = 630, 880
"""Ten pixels a millimetre."""

_INK: Colour = (24, 22, 28)
_PAPER: Colour = (250, 246, 236)


def press(card: Printing) -> Image.Image:
    """Return the card's scan, RGB, WIDTH x HEIGHT."""
    hue = HUES[card.element]
    sheet = Image.new(
        "RGB", (WIDTH, HEIGHT), colour(hue, 0.25, 0.3) if card.full_art else _border(card)
    )
    draw = ImageDraw.Draw(sheet)
    if card.full_art:
        sheet.paste(paint(card.art, card.element, WIDTH - 36, HEIGHT - 36), (18, 18))
        _veil(sheet, (30, 520, WIDTH - 30, 812))
    else:
        draw.rounded_rectangle((26, 26, WIDTH - 26, HEIGHT - 26), 20, fill=colour(hue, 0.32, 0.93))
        draw.rounded_rectangle((34, 470, WIDTH - 34, 806), 14, fill=colour(hue, 0.1, 0.99))
        sheet.paste(paint(card.art, card.element, 530, 360), (50, 96))
        draw.rectangle((48, 94, 581, 457), outline=colour(hue, 0.7, 0.45), width=5)
    _title(draw, card)
    _attacks(draw, card)
    _foot(draw, card)
    return sheet


def _border(card: Printing) -> Colour:
    return {"emb": (236, 190, 62), "tdw": (196, 205, 214), "ech": (236, 190, 62)}.get(
        card.card_set.id, (54, 50, 60)
    )


def _veil(sheet: Image.Image, box: tuple[int, int, int, int]) -> None:
    part = sheet.crop(box)
    sheet.paste(Image.blend(part, Image.new("RGB", part.size, _PAPER), 0.72), box[:2])


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _title(draw: ImageDraw.ImageDraw, card: Printing) -> None:
    hue = HUES[card.element]
    draw.rounded_rectangle(
        (40, 36, WIDTH - 40, 88),
        22,
        fill=colour(hue, 0.12, 1.0),
        outline=colour(hue, 0.7, 0.5),
        width=3,
    )
    draw.text(
        (60, 62),
        card.name,
        font=_font(34),
        fill=_INK,
        anchor="lm",
        stroke_width=1,
        stroke_fill=_INK,
    )
    draw.text((WIDTH - 100, 62), f"{card.hp} HP", font=_font(26), fill=_INK, anchor="rm")
    _gem(draw, WIDTH - 70, 62, 18, card.element)


def _attacks(draw: ImageDraw.ImageDraw, card: Printing) -> None:
    y = 500 if not card.full_art else 545
    for attack in card.attacks:
        for spent in range(attack.cost):
            _gem(draw, 70 + 34 * spent, y + 20, 14, card.element)
        draw.text(
            (190, y + 20),
            attack.name,
            font=_font(30),
            fill=_INK,
            anchor="lm",
            stroke_width=1,
            stroke_fill=_INK,
        )
        draw.text((WIDTH - 60, y + 20), str(attack.damage), font=_font(34), fill=_INK, anchor="rm")
        if attack.text:
            draw.text((60, y + 62), attack.text, font=_font(22), fill=_INK, anchor="lm")
        draw.line(
            (56, y + 96, WIDTH - 56, y + 96), fill=colour(HUES[card.element], 0.5, 0.6), width=2
        )
        y += 122
    draw.text(
        (60, 752),
        f"“{card.flavour}”",
        font=_font(20),
        fill=colour(HUES[card.element], 0.8, 0.35),
        anchor="lm",
    )
    draw.text((60, 786), f"{card.element} creature", font=_font(20), fill=_INK, anchor="lm")


def _foot(draw: ImageDraw.ImageDraw, card: Printing) -> None:
    ink = _PAPER if card.full_art else _INK
    if card.full_art:
        draw.rectangle((18, 816, WIDTH - 18, 848), fill=colour(HUES[card.element], 0.4, 0.2))
    number = (
        card.printed_number
        if card.card_set.total is None
        else f"{card.card_set.code}  {card.printed_number}"
    )
    draw.text((46, 832), number, font=_font(24), fill=ink, anchor="lm")
    draw.text((WIDTH - 90, 832), f"ill. {card.artist}", font=_font(18), fill=ink, anchor="rm")
    _rarity(draw, WIDTH - 62, 832, card.rarity, ink)


def _rarity(draw: ImageDraw.ImageDraw, x: int, y: int, rarity: str, ink: Colour) -> None:
    if rarity == "Common":
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=ink)
    elif rarity == "Uncommon":
        draw.polygon([(x, y - 11), (x + 11, y), (x, y + 11), (x - 11, y)], fill=ink)
    else:
        draw.regular_polygon((x, y, 12), 3, fill=ink)
        draw.regular_polygon((x, y, 12), 3, rotation=180, fill=ink)


def _gem(draw: ImageDraw.ImageDraw, x: int, y: int, r: int, element: str) -> None:
    hue = HUES[element]
    draw.ellipse(
        (x - r, y - r, x + r, y + r),
        fill=colour(hue, 0.75, 0.85),
        outline=colour(hue, 0.8, 0.4),
        width=2,
    )
    draw.regular_polygon((x, y, r * 0.6), 3 + sorted(HUES).index(element), fill=_PAPER)
