"""Step cost: time, peak memory and FLOPs of a step, each against SGD's."""
