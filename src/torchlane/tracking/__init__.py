"""What a finished run leaves behind beside its artifacts: a line in a history, a word on the log, a run in MLflow."""
