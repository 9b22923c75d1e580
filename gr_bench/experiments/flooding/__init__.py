"""Does flooding perform gradient regularization? Its steps near the level, pair by pair."""
