"""One self-contained HTML file from the results of all stages."""
