"""Drawing: style, colours, sheets of images, pages. It knows nothing of comparisons."""
