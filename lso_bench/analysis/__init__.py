"""Records to statistics: how low, how soon, how much by the start, and which differences are significant."""
