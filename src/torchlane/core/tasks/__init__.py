"""Tasks: their losses, which training minimises, and their metrics."""
