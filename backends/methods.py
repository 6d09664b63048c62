"""Distillation methods by name: which divergence, with which parameters, weighs how much.

One row a method. The loss of every method here is Eq. 7 of the ABKD paper (Wang et al., ICML 2025),

    hard_weight · CE(student, labels) + distill_weight · scale · D_AB(teacher ‖ student; alpha, beta, temperature),

where scale is temperature² for the methods whose definition has that factor (Hinton et al., 2015) and 1 otherwise.
"""

from dataclasses import dataclass

from backends.arguments import check_number, check_temperature


@dataclass(frozen=True)
class Method:
    """One distillation method.

    Attributes:
        name: what users type.
        title: what tables print.
        source: where it comes from.
        alpha, beta: the point of the α-β family that it is, None where the user chooses.
        needs_teacher: False for hard labels only.
        temperature_squared: whether the distillation term carries a factor temperature².
    """

    name: str
    title: str
    source: str
    alpha: float | None = None
    beta: float | None = None
    needs_teacher: bool = True
    temperature_squared: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that a user may set."""
        if not self.needs_teacher:
            return ("hard_weight",)
        chosen = ("alpha", "beta") if self.alpha is None else ()
        return (*chosen, "temperature", "distill_weight", "hard_weight")


METHODS = {
    method.name: method
    for method in (
        Method("sft", "SFT (hard labels)", "supervised fine-tuning, no teacher", needs_teacher=False),
        Method("kd", "KD (forward KL)", "Hinton et al., 2015; ABKD paper Table 1: (α,β) = (1,0)", 1.0, 0.0,
               temperature_squared=True),
        Method("rkld", "RKLD (reverse KL)", "Gu et al., 2024; ABKD paper Table 1: (α,β) = (0,1); the factor T² as in KD "
               "is declared by this project", 0.0, 1.0, temperature_squared=True),
        Method("abkd", "ABKD", "Wang et al., ICML 2025, Eq. 7"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Objective:
    """A method with its numbers filled in: what a training step computes."""

    alpha: float
    beta: float
    temperature: float
    distill_weight: float
    hard_weight: float
    needs_teacher: bool


def get(name: str) -> Method:
    """Return the method called `name`; ValueError lists the known ones."""
    if name not in METHODS:
        raise ValueError(f"method={name!r} is not known; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def resolve(
    method: str,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    temperature: float = 1.0,
    distill_weight: float = 1.0,
    hard_weight: float = 1.0,
) -> Objective:
    """Fill a method's numbers in.

    Args:
        method: a name in `METHODS`.
        alpha, beta: for methods that leave them open ("abkd"), where both are required; None for the others.
        temperature: softens both distributions in the distillation term, > 0.
        distill_weight: weight of the distillation term; a method's factor temperature² comes on top.
        hard_weight: weight of the cross-entropy with the labels.

    Raises:
        ValueError: unknown method, a parameter that the method does not have, one that it lacks, or a bad value.
    """
    entry = get(method)
    temperature = check_temperature(temperature)
    distill_weight = check_number("distill_weight", distill_weight)
    hard_weight = check_number("hard_weight", hard_weight)
    given = {"alpha": alpha, "beta": beta}
    if entry.alpha is None and entry.needs_teacher:
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise ValueError(f"method={method!r} needs {' and '.join(missing)}; any finite real number is allowed")
        alpha, beta = check_number("alpha", alpha), check_number("beta", beta)
    else:
        for name, value in given.items():
            if value is not None and value != getattr(entry, name):
                raise ValueError(
                    f"{name}={value!r}: method {method!r} has no such parameter (it has {', '.join(entry.parameters)}); "
                    f"leave {name} out or use method 'abkd'"
                )
        alpha, beta = entry.alpha, entry.beta
    if not entry.needs_teacher:
        return Objective(1.0, 0.0, 1.0, 0.0, hard_weight, False)
    scale = temperature**2 if entry.temperature_squared else 1.0
    return Objective(alpha, beta, temperature, distill_weight * scale, hard_weight, True)
