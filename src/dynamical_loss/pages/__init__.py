"""HTML pages that need no network: text, tables, pictures, controls and plots."""
