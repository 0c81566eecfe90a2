"""What both models share: the strategy, the loop, checkpoints, the Ray Train driver."""
