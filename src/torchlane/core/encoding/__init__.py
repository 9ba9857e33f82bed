"""From checked rows to tensors, and back."""
