"""Thin adapters between the catalog and `torchlane.core`."""
