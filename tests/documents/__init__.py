"""What the documents say is true: commands run, configurations load, words name what there is."""
