"""The losses of this backend: every divergence by name, for the files here that look one up.

`backends.torch.divergences` is the door for users.
"""

from collections.abc import Callable

from ...common.arguments import divergences_in
from . import alpha_beta, catalogue

DIVERGENCES: dict[str, Callable] = {
    name: getattr(module, name) for module in (alpha_beta, catalogue) for name in divergences_in(module)
}
