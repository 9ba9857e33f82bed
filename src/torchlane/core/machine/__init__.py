"""The process and its disk."""
