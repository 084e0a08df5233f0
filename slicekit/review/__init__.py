"""A local web page on which scans are drawn, corrected and judged."""
