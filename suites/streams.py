"""Random numbers by what they are for, not by when they are drawn: streams of the counter-based generator Philox.

A stream is named by a seed, an epoch and a purpose; entry i of it is the same whatever was drawn before, so a training
that goes on in the middle of an epoch sees the numbers that an uninterrupted one would have seen.
"""

import numpy as np

# the top word of Philox's counter, so that streams of the same key never overlap; numbers stay what they are
PURPOSES = {"order": 0, "augmentation": 1, "corruption": 2, "rows": 3}
# 64-bit words that one value of the counter gives
WORDS_PER_COUNT = 4


def raw_stream(purpose: str, seed: int, epoch: int, count: int, *, first: int = 0) -> np.ndarray:
    """Entries `first` to `first + count − 1` of a stream of uniform 64-bit words: uint64 `[count]`.

    Only the raw words are used anywhere in this project: NumPy freezes the streams of its bit generators, but not what
    its `Generator` makes of them. Source of Philox: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.

    Args:
        purpose: a name in `PURPOSES`.
        seed, epoch: the key, 0 or greater, below 2⁶⁴.
        count: how many words.
        first: where to begin, a multiple of `WORDS_PER_COUNT`.

    Raises:
        ValueError: a negative number, an unknown purpose, or a beginning between two values of the counter.
    """
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed={seed!r} and epoch={epoch!r} must both be 0 or greater")
    if purpose not in PURPOSES:
        raise ValueError(f"purpose={purpose!r} is not known; choose one of {', '.join(PURPOSES)}")
    if count < 0 or first < 0 or first % WORDS_PER_COUNT:
        raise ValueError(f"count={count!r} must be 0 or greater, first={first!r} a multiple of {WORDS_PER_COUNT}, 0 or greater")
    key = np.array([seed, epoch], dtype=np.uint64)
    counter = np.array([first // WORDS_PER_COUNT, 0, 0, PURPOSES[purpose]], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
