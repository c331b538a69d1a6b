"""Values as HTML: the fragments that notebooks, `--html` and pages share, and the page that holds one alone."""
