"""Running planned cells: here, in processes, one after another or side by side."""
