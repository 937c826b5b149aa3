"""What a store is on the disk: the catalog, the vector file, and the checksums that bind one to the other."""
