"""RapidOCR, the text reader that a user would pick instead of ours.

Installed only to compare with.
"""

from typing import Any

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Stop
from cardmint_lab.recognition.baselines import Lines


def rapid_ocr() -> Lines:
    """Load RapidOCR with its own models.

    Raises:
        Stop: it is not installed.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError:
        message = "RapidOCR is not installed: pip install cardmint-edge[second-look]"
        raise Stop(message) from None
    engine: Any = RapidOCR(params={"Global.log_level": "error"})

    def lines(frame: Frame) -> list[str]:
        return [str(text) for text in engine(frame).txts or ()]

    return lines
