"""Does it generalise? Train, validation and test results over seeds, and their gaps."""
