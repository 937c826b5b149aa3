"""What other programs write and read: their labels, vectors and pictures in, and the store's out; a module for each."""
