"""Layers that torch lacks; they know neither options nor data."""
