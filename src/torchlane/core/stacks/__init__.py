"""Several networks of one structure as one tensor program; uses neither options nor data."""
