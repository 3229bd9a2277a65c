"""Pictures of Basin result files: basin-plot."""
