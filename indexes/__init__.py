"""Arrays in, arrays out: FAISS and nothing else. Knows no SQL, no picture and no store."""
