"""Which solution does a method pick? The diagonal linear network, where theory gives the answer."""
