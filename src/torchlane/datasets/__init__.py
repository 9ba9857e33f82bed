"""How artifacts are stored. Every file is written under a temporary name in its folder, then renamed."""
