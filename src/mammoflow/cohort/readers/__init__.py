"""One module a data set; its name, with hyphens, is the reader's name, and it holds one `StudyReader` class."""
