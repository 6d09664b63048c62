"""Names and their order, the same in every table and figure: backends, types, methods, fields of a cell."""

from collections.abc import Iterable

from results.records.record import Record

BACKENDS = ("torch", "jax", "tensorflow")
# from the widest to the narrowest
DTYPES = ("float64", "float32", "bfloat16", "float16")


def backend_order(names: Iterable[str]) -> list[str]:
    """Backends, with or without a device behind their name, in the order of every table; unknown ones come last."""
    return sorted(names, key=lambda name: (_position(name.partition(" ")[0], BACKENDS), name))


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
    return f"{name} ({number_word(cell['alpha'])}, {number_word(cell['beta'])})"


def is_number(value: object) -> bool:
    """Whether a record holds a finite number; what was written by hand may be anything."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def number_word(value: object) -> str:
    """A number without needless digits; anything else that a record holds in its place as it is."""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def field_word(name: str, value: object) -> str:
    """A field of a cell as a word; of given weights the beginning of their digest, which tells them apart."""
    if name == "teacher_weights":
        return f"teacher {str(value).rpartition(' ')[2][:6]}"
    return f"mixed {value}" if name == "precision" else str(value)


def field_words(record: Record, *names: str) -> str:
    """Several fields of a record's cell as words, those that it has."""
    return ", ".join(field_word(name, record.cell[name]) for name in names if record.cell.get(name) is not None)
