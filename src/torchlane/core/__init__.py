"""Learning, without Kedro."""
