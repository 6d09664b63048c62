"""Speed and memory of the loss."""
