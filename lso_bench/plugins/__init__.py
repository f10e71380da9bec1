"""Task and searcher plugins: find, build, call and identify them."""
