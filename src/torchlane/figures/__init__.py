"""Figures from plain tables, as Plotly figures."""
