"""Names and their order, the same in every table and figure: backends, types, methods, fields of a cell."""

from collections.abc import Iterable

from results.records.record import Record

BACKENDS = ("torch", "jax", "tensorflow")
# from the widest to the narrowest
DTYPES = ("float64", "float32", "bfloat16", "float16")


def backend_order(names: Iterable[str]) -> list[str]:
    """Backends, with or without a device behind their name, in the order of every table; unknown ones come last."""
    return sorted(names, key=lambda name: (_position(name.split()[0], BACKENDS), name))


def dtype_order(names: Iterable[str]) -> list[str]:
    """Types in the order of every table, from the widest to the narrowest; unknown ones come last."""
    return sorted(names, key=lambda name: (_position(name, DTYPES), name))


def _position(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


def method_label(record: Record) -> str:
    """The method of a record with its α and β where its cell states them: `abkd (0.8, 0.2)`."""
    cell = record.cell
    name = str(cell.get("method", "—"))
    if cell.get("alpha") is None or cell.get("beta") is None:
        return name
    return f"{name} ({cell['alpha']:g}, {cell['beta']:g})"


def variant_label(record: Record, separator: str = " ") -> str:
    """The method's label, and what else makes two trainings of it different things: precision and a given teacher."""
    others = [field_word(name, record.cell[name]) for name in ("precision", "teacher_weights") if record.cell.get(name)]
    return separator.join([method_label(record), *others])


def field_word(name: str, value: object) -> str:
    """A field of a cell as a word; of given weights the beginning of their digest, which tells them apart."""
    if name == "teacher_weights":
        return f"teacher {str(value).split()[-1][:6]}"
    return f"mixed {value}" if name == "precision" else str(value)


def field_words(record: Record, *names: str) -> str:
    """Several fields of a record's cell as words, those that it has."""
    return ", ".join(field_word(name, record.cell[name]) for name in names if record.cell.get(name) is not None)
