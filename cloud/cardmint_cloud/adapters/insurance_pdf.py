"""The list of cards for an insurer, as PDF: a picture and a description of each, eight to a page.

ReportLab writes it. Names in Japanese, Korean and Chinese name the standard fonts of PDF, of which
none is embedded: a reader without any such font leaves them blank, and the printing's identifier
stands beside them. Other letters are those of Western Europe.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image
from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

rl_config.useA85 = 0  # Streams as they are: as text they are a quarter larger, and slow to make.
ROWS = 8
_ROW = 31 * mm
_MARGIN = 15 * mm
_TOP = A4[1] - 32 * mm
_PICTURE = 240
"""Longer side of a picture in pixels: about 200 dpi on paper."""

_PLAIN, _BOLD = "Helvetica", "Helvetica-Bold"
_FONTS = {"ja": "HeiseiKakuGo-W5", "ko": "HYGothic-Medium", "zh": "STSong-Light"}


@dataclass(frozen=True, kw_only=True, slots=True)
class InsuredCard:
    """A card as the list shows it: its title, lines of text, language, and picture if there is one.

    The picture is a file that Pillow reads.
    """

    title: str
    lines: Sequence[str]
    language: str
    picture: bytes | None = None


def insurance_pdf(heading: str, totals: str, cards: Iterable[InsuredCard], count: int) -> bytes:
    """Return the list of `count` cards; the same cards give the same bytes."""
    for font in _FONTS.values():
        if font not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(font))
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=1)
    canvas.setTitle(heading)
    pages = max(1, -(-count // ROWS))
    number = 0
    for number, card in enumerate(cards):
        if number % ROWS == 0:
            if number:
                canvas.showPage()
            _head(canvas, heading, totals, f"{number // ROWS + 1} / {pages}")
        _card(canvas, card, _TOP - (number % ROWS + 1) * _ROW)
    if count == 0:
        _head(canvas, heading, totals, "1 / 1")
    canvas.save()
    return file.getvalue()


def _head(canvas: Canvas, heading: str, totals: str, page: str) -> None:
    _text(canvas, _MARGIN, A4[1] - 18 * mm, heading, size=14, bold=True)
    _text(canvas, _MARGIN, A4[1] - 24 * mm, totals, size=9)
    canvas.setFont(_PLAIN, 9)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, page)


def _card(canvas: Canvas, card: InsuredCard, bottom: float) -> None:
    canvas.setLineWidth(0.3)
    canvas.line(_MARGIN, bottom + _ROW - 1 * mm, A4[0] - _MARGIN, bottom + _ROW - 1 * mm)
    picture = _jpeg(card.picture) if card.picture else None
    if picture is not None:
        canvas.drawImage(
            picture,
            *(_MARGIN, bottom + 1 * mm, 24 * mm, _ROW - 3 * mm),
            preserveAspectRatio=True,
            anchor="w",
        )
    left, line = _MARGIN + 28 * mm, bottom + _ROW - 6 * mm
    _text(canvas, left, line, card.title, size=11, bold=True, language=card.language)
    for text in card.lines:
        line -= 3.9 * mm
        _text(canvas, left, line, text, size=9, language=card.language)


def _text(
    canvas: Canvas,
    left: float,
    bottom: float,
    text: str,
    *,
    size: int,
    bold: bool = False,
    language: str = "",
) -> None:
    """Draw a line, in a font that has its letters, and no longer than the page is wide."""
    font = _BOLD if bold else _PLAIN
    if not _is_western(text):
        font = _FONTS.get(language.partition("-")[0], _FONTS["ja"])
    width = A4[0] - _MARGIN - left
    while text and canvas.stringWidth(text, font, size) > width:
        text = text[:-2].rstrip() + "…" if _is_western(text) else text[:-1]
    canvas.setFont(font, size)
    canvas.drawString(left, bottom, text)


def _is_western(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _jpeg(picture: bytes) -> ImageReader | None:
    """Return a small JPEG; None where the picture cannot be drawn."""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.thumbnail((_PICTURE, _PICTURE))
            small = io.BytesIO()
            opened.convert("RGB").save(small, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small.seek(0)
    return ImageReader(small)
