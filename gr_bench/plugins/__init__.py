"""Things that are not ours: where they stand, the names they go by, and the rules they keep.

Nothing in here imports PyTorch; what it loads mostly does.
"""
