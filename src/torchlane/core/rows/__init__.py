"""Raw tables to checked rows, and their split into parts."""
