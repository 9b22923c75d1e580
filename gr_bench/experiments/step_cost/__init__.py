"""What does a step cost? Time, peak memory and FLOPs, each against SGD's."""
