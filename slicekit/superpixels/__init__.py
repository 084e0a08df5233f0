"""What can be told from intensities alone: where the body lies, which pixels belong together."""
