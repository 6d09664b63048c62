"""The training loop that the three backends share."""
