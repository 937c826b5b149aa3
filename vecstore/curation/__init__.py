"""What people decide about their pictures, and what is done to their files: recorded, checked by content, undone."""
