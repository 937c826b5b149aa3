"""Whether two pictures show the same: a hash of each, and an alignment of their pixels. Knows no file and no store."""
