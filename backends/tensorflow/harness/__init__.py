"""NumPy in, NumPy out: what the suites ask of this backend."""

from .networks import *  # noqa: F403
