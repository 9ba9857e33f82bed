"""How artifacts are stored. Every file is written beside its place, then renamed."""
