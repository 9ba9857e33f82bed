"""From a raw table to checked rows, each with a part."""
