"""One module per source of music: where its songs lie, and what each of them holds."""
