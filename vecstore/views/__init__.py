"""What a person looks at: thumbnails, contact sheets, maps, plots, the report."""
