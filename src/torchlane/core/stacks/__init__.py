"""Several networks as one tensor program; knows neither options nor data."""
