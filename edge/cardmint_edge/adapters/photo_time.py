"""When a photo was taken, by the camera's own clock."""

import warnings

from cardmint_edge.adapters.decode import opened

_EXIF, _TAKEN, _FRACTION = 0x8769, 0x9003, 0x9291


def taken_at(content: bytes) -> tuple[str, str]:
    """Return the time to the second and the fraction of it, as the camera wrote them.

    Empty where the file does not say, or is damaged.
    """
    try:
        with warnings.catch_warnings(action="ignore"), opened(content) as image:
            exif = image.getexif().get_ifd(_EXIF)
            return _text(exif.get(_TAKEN)), _text(exif.get(_FRACTION))
    except Exception:  # noqa: BLE001 - damaged metadata raises any of a dozen
        return "", ""


def _text(value: object) -> str:
    """Return a text; empty for blanks and zeros, by which a camera without a clock fills it."""
    return value.strip("\0 ") if isinstance(value, str) and value.strip("\0 :0") else ""
