"""Words for pictures: what a classifier's last layer says of the vectors of a store, and the names of its classes."""
