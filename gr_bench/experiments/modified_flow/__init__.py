"""The modified flow that finite steps of descent follow, on problems small enough to be exact."""
