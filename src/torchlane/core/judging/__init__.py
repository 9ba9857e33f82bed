"""How good a model is, and what is wrong with a training."""
