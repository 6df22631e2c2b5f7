//! The items of a run: files, standard input, `--item`, `--all`; placeholders of commands.
