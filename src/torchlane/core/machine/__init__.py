"""The process, its devices and its files."""
