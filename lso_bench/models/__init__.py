"""Named models: train, measure and traverse them."""
