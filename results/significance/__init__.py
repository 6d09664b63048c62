"""What can be said of differences: means, intervals, tests."""
