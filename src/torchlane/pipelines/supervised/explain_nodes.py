"""The nodes that explain a model and its data: facts for figures, the page and warnings. Each calls core.

Each imports what it calls, because a stage waits for the libraries of no other.
"""
