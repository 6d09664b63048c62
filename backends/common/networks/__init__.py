"""Networks as plain data: parameters, shapes, initial weights."""
