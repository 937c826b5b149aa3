"""Defaults that the command line states too: apart from what is returned, so that `--help` answers at once."""

# The default score from which two images count as near duplicates. Chosen by measurement: below it are pictures of the
# same thing, above it altered copies and bursts (docs/duplicates.md).
NEAR_SCORE = 0.95
# What examples to look away from count, beside those to look for: Rocchio's usual part
# (https://nlp.stanford.edu/IR-book/html/htmledition/the-rocchio71-algorithm-1.html has 0.15 for 0.75).
MINUS_WEIGHT = 0.25
# From which probability on a word becomes a keyword in a sidecar.
LEAST_KEYWORD = 0.1
# What the images in no cluster are called, unless a person calls them otherwise.
NOISE = "noise"
