"""Clusters: how they are made, keep their identity, are judged, and take in what is new."""
