"""Files that arrive are scored, each exactly once."""
