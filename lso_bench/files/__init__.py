"""Files: atomic writes, safe reading, the cache, downloads, sanitised text."""
