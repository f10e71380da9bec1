"""Variational autoencoders whose latent spaces differ in posterior collapse: train, measure, load."""
