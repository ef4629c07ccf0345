"""Likelihood of given texts under a reader's output: the catalogue's texts are scored, not decoded.

The forward algorithm of connectionist temporal classification (Graves et al. 2006), over all texts
at once. A strip holds more than the text in question, so the text may stand between other words:
anything may come before and after it, separated by a space; next to a number, any characters but
digits may also touch it.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.lexicon import ALPHABET, codes

Reading = NDArray[np.float32]
"""A strip's probabilities, steps x (1 + letters of ALPHABET).

Rows add up to 1, column 0 is the blank.
"""

SKIPPED_LETTER = {True: 0.95, False: 0.5}
"""Factor for each step whose letter is not part of the text, by whether the text is a number.

Artists and copyright lines stand beside numbers and mean nothing; a word beside a name makes it
another name.
"""

_FLOOR = 1e-7
_SPACE = codes(" ")[0]
_JOINED = np.array(
    [0, *(code for code, letter in enumerate(ALPHABET, start=1) if letter not in "/0123456789")]
)


def text_scores(readings: list[Reading], texts: list[str], *, number: bool) -> NDArray[np.float64]:
    """Return the score of each text in each strip (strips x texts).

    A score is the log-likelihood that the text stands in the strip, relative to the likeliest path;
    about 0 at best. Letters, but no digits, may touch a `number`; a name must stand apart from
    other letters.
    """
    if not texts or not readings:
        return np.zeros((len(readings), len(texts)))
    given = np.maximum(np.stack(readings), np.float32(_FLOOR), dtype=np.float32)
    emitted = _emitted(given, number=number)
    states, skips = _states(texts, emitted.shape[2])
    # Steps x states x strips x texts: a state's sums run over rows that lie together.
    given_states = np.ascontiguousarray(
        np.take(emitted.transpose(1, 2, 0), states, axis=1).swapaxes(2, 3)
    )
    ways = np.zeros(given_states.shape[1:], dtype=np.float32)
    ways[[0, 2, 3]] = given_states[0][[0, 2, 3]]
    came = np.empty_like(ways)
    skipped = np.empty_like(ways[2:])
    scale = np.zeros(ways.shape[1:])
    for step in range(1, len(given_states)):
        np.copyto(came, ways)
        came[1:] += ways[:-1]
        came[2:] += np.multiply(ways[:-2], skips, out=skipped)
        came *= given_states[step]
        ways, came = came, ways
        if step % 4 == 0 or step == len(given_states) - 1:
            # Four steps of at least _FLOOR each are far from the smallest single-precision number.
            most = np.maximum(ways.max(axis=0), np.float32(1e-30))
            ways /= most
            scale += np.log(most)
    ends = _ends(texts)
    rows = np.arange(len(texts))
    total = (ways[ends, :, rows] + ways[ends + 1, :, rows] + ways[ends + 3, :, rows]).T
    best = np.log(given.max(axis=2)).sum(axis=1)
    return np.asarray(np.log(np.maximum(total, 1e-30)) + scale - best[:, None], dtype=np.float64)


def _emitted(p: NDArray[np.float32], *, number: bool) -> NDArray[np.float32]:
    """Append four columns: anything, a space, what may touch the text, and never."""
    passed = np.float32(SKIPPED_LETTER[number])
    anything = np.maximum(p[..., 0], passed * p[..., 1:].max(axis=-1))
    touching = np.maximum(p[..., 0], p[..., _SPACE])
    if number:
        touching = np.maximum(touching, passed * p[..., _JOINED].max(axis=-1))
    more = np.stack(
        [anything, p[..., _SPACE], touching, np.zeros(p.shape[:-1], np.float32)], axis=-1
    )
    return np.concatenate([p, more], axis=-1)


def _states(texts: list[str], columns: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return each text's chain of columns (longest x n), and 1 where a state may be skipped to.

    The chain: anything, space, touching, the text's letters with blanks between, touching, space,
    anything.
    """
    never = columns - 1
    longest = max(map(len, texts))
    states = np.full((len(texts), 2 * longest + 5), never, dtype=np.intp)
    skips = np.zeros(states.shape, dtype=np.float32)
    for row, text in enumerate(texts):
        chain, skipped = _chain(text, columns)
        states[row, : len(chain)] = chain
        skips[row, : len(chain)] = skipped
    return states.T, np.ascontiguousarray(skips.T[2:, None])


@lru_cache(maxsize=4096)
def _chain(text: str, columns: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return one text's chain of columns, and 1 where a state may be skipped to.

    A space may lead straight to the text, a letter straight to another, the text straight to a
    space.
    """
    anything, space, touching = range(columns - 4, columns - 1)
    spelt = codes(text)
    end = 2 + 2 * len(spelt)
    chain = np.zeros(end + 3, dtype=np.intp)
    chain[:3] = chain[: end - 1 : -1] = anything, space, touching
    chain[3:end:2] = spelt
    skips = np.zeros(len(chain), dtype=np.float32)
    skips[[3, end + 1]] = 1
    skips[5:end:2] = np.array(spelt[1:]) != np.array(spelt[:-1])
    return chain, skips


def _ends(texts: list[str]) -> NDArray[np.intp]:
    """Return the position of each text's last letter in its chain; touching and anything follow."""
    return np.array([2 * len(text) + 1 for text in texts], dtype=np.intp)
