"""Pictures of Basin result files."""
