"""What is measured, and how: agreement with the reference, speed of the loss, distillation of students.

`python -m suites` runs them for one backend. Nothing here imports a framework; a backend comes from `backends.load`.
"""
