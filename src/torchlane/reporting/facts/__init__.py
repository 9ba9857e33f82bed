"""What a page says, as plain structures made from artifacts: one module for a group of sections."""
