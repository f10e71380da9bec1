"""Records on disk: publish, read, index and archive them."""
