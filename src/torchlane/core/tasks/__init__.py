"""What is made small in training, and what is read beside it."""
