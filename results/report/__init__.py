"""The report: one Markdown file and one page for a browser."""
