"""Files that arrive, scored once each."""
