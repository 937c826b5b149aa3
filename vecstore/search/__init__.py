"""What is near to what: neighbours, filters, the k-NN graph, duplicates."""
