"""Plotly figures of plain tables."""
