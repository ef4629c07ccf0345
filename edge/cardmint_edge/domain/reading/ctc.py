"""Likelihood of given texts under a reader's output: the catalogue's texts are scored, not decoded.

The forward algorithm of connectionist temporal classification (Graves et al. 2006), over all texts
at once. A strip holds more than the text in question, so the text may stand between other words:
anything may come before and after it, separated by a space; next to a number, any characters but
digits may also touch it.
"""

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
_OUTPUTS = np.zeros(1 + max(map(ord, ALPHABET)), dtype=np.intp)
_OUTPUTS[[ord(letter) for letter in ALPHABET]] = codes(ALPHABET)
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
    states, skips, ends = _states(_spelt(texts), emitted.shape[2])
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


def _states(
    spelt: NDArray[np.intp], columns: int
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.intp]]:
    """Return each text's chain of columns, where a state may be skipped to, and where texts end.

    The chain (longest x n): anything, space, touching, the text's letters with blanks between,
    touching, space, anything. A space may lead straight to the text, a letter straight to another,
    the text straight to a space: 1 stands there.
    """
    anything, space, touching, never = range(columns - 4, columns)
    count, longest = spelt.shape
    there = spelt > 0
    last = 2 * there.sum(axis=1) + 1
    rows = np.arange(count)
    states = np.full((count, 2 * longest + 5), never, dtype=np.intp)
    states[:, :3] = anything, space, touching
    np.copyto(states[:, 3 : 2 * longest + 2 : 2], spelt, where=there)
    np.copyto(states[:, 4 : 2 * longest + 1 : 2], 0, where=there[:, 1:])
    for after, column in enumerate((touching, space, anything), start=1):
        states[rows, last + after] = column
    skips = np.zeros(states.shape, dtype=np.float32)
    skips[:, 5 : 2 * longest + 2 : 2] = (spelt[:, 1:] != spelt[:, :-1]) & there[:, 1:]
    skips[:, 3] = skips[rows, last + 2] = 1
    return states.T, np.ascontiguousarray(skips.T[2:, None]), last


def _spelt(texts: list[str]) -> NDArray[np.intp]:
    """Return the texts' outputs (n x longest), 0 after the end of a shorter one."""
    letters = np.array(texts)
    return _OUTPUTS[letters.view(np.uint32).reshape(len(texts), -1)]
