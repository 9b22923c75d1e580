"""What is read off a step: time, memory, arithmetic, curvature; and the devices it is read from."""
