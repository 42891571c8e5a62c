"""Reports for people: one self-contained HTML page with tables and inline SVG charts, no scripts, no network."""
