"""Where rows are kept outside the broker: files in a folder that every host reaches."""
