"""A store on disk: the catalog, the vector file, and the checksums that connect the two."""
