"""How likely a reader's output says a given text.

The catalogue's own strings are scored, nothing is decoded first.

The forward algorithm of connectionist temporal classification (Graves et al. 2006) over every text
at once. A strip holds more than the text that is looked for, so the text may stand between other
words: before and after it anything may be read that a space parts from it, and any number of signs
that are no digits when a number is looked for.
"""

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.reading.lexicon import ALPHABET, codes

Reading = NDArray[np.float32]
"""A strip's probabilities, steps x (1 + letters of ALPHABET).

Row sums are 1, column 0 is the blank.
"""

PASSED_OVER = {True: 0.95, False: 0.5}
"""What a step costs (as a factor) in which a letter is read that the text does not explain, by whether it is a number.

Artists and copyrights stand beside numbers and mean nothing; words beside a name make another name
of it.
"""

_FLOOR = 1e-7
_SPACE = codes(" ")[0]
_JOINED = np.array(
    [0, *(code for code, letter in enumerate(ALPHABET, start=1) if letter not in "/0123456789")]
)


def explained(readings: list[Reading], texts: list[str], *, number: bool) -> NDArray[np.float64]:
    """Return for each strip and text the log of how likely the text stands there, against the likeliest path.

    Strips x texts; about 0 at best. When a `number` is looked for, letters may touch it but digits
    may not; a name must stand apart from other letters.
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
    """Return the probabilities with four columns more.

    Anything, a space, what may touch the text, and nothing.
    """
    passed = np.float32(PASSED_OVER[number])
    anything = np.maximum(p[..., 0], passed * p[..., 1:].max(axis=-1))
    touching = np.maximum(p[..., 0], p[..., _SPACE])
    if number:
        touching = np.maximum(touching, passed * p[..., _JOINED].max(axis=-1))
    more = np.stack(
        [anything, p[..., _SPACE], touching, np.zeros(p.shape[:-1], np.float32)], axis=-1
    )
    return np.concatenate([p, more], axis=-1)


def _states(texts: list[str], columns: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return each text's chain of columns (longest x n), and 1 where a state may follow the one before the last.

    The chain: anything, space, touching, the text's letters with blanks between, touching, space,
    anything.
    """
    anything, space, touching, never = range(columns - 4, columns)
    longest = max(map(len, texts))
    states = np.full((len(texts), 2 * longest + 5), never, dtype=np.intp)
    skips = np.zeros(states.shape, dtype=np.float32)
    for row, text in enumerate(texts):
        spelt = codes(text)
        end = 2 + 2 * len(spelt)
        states[row, :3] = anything, space, touching
        states[row, 3:end:2] = spelt
        states[row, 4:end:2] = 0
        states[row, end : end + 3] = touching, space, anything
        # A space may lead straight to the text, a letter straight to another, the text straight to
        # a space.
        skips[row, 3] = 1
        skips[row, 5:end:2] = np.array(spelt[1:]) != np.array(spelt[:-1])
        skips[row, end + 1] = 1
    return states.T, np.ascontiguousarray(skips.T[2:, None])


def _ends(texts: list[str]) -> NDArray[np.intp]:
    """Return where each text's last letter stands in its chain.

    What may touch it and anything come after it.
    """
    return np.array([2 * len(text) + 1 for text in texts], dtype=np.intp)
