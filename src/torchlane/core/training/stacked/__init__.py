"""Members of one structure, trained together as one tensor program."""
