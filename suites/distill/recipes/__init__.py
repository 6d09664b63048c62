"""Numbers of trainings and methods, each with its source."""
