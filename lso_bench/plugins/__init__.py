"""Tasks and searchers that others write: find, build, call and identify them."""
