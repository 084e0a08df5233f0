"""Pictures, statistics and evaluations of finished label maps."""
