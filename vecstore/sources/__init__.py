"""What is there to add: files and folders, archives, what is in them as pixels. Knows no catalog and no store."""
