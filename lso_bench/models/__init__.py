"""Training, measurement and traversal of named models."""
