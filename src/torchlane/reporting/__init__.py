"""The page and the model card of a use case, made from the same facts."""
