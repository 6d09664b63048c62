"""What the three backends share; no framework is imported here."""
