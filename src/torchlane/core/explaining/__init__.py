"""What a model learned from, what drives it, and where it fails: plain tables for figures, the page and warnings."""
