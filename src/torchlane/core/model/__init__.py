"""A trained model: what it predicts, and what it is made of."""
